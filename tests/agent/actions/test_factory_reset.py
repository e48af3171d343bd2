"""A factory reset wipes what the household has left, and nothing that says who the box is."""

import hashlib
from contextlib import suppress
from pathlib import Path

import pytest
from oleada_agent import boots, overrides
from oleada_agent.actions.restart import PIN, WIPED, wipe
from oleada_agent.commands import LAST
from oleada_lab.media.daemon import serve
from oleada_lab.media.player import Player
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import PowerCutError, SimDisk
from oleada_wire.words import Refusal, ResultStatus

from tests.agent.actions.bench import Bench

KEPT = (
    "data/identity/identity.json", "data/identity/device.pem", "data/trust/root.json",
    "data/floors.json", "data/journal.0", "data/journal.1", "data/outbox/0000000001-report-a",
    "data/config.toml", "boot/control.0", boots.FILE, *LAST,
)  # fmt: skip
"""Identity, trust, anti-rollback floors, update state, verdicts, counters."""
SALT = bytes(8)
RIGHT = f"{SALT.hex()} {hashlib.scrypt(b'4711', salt=SALT, n=2**14, r=8, p=1).hex()}\n"
CONFIG = 'serial = "S"\nhardware_model = "VX-410"\nenrol_url = "https://127.0.0.1:1"\n'


def a_lived_in_disk() -> SimDisk:
    disk = SimDisk()
    for path in (*KEPT, *WIPED):
        disk.create(path)
        disk.pwrite(path, 0, f"what is in {path}".encode())
        disk.fsync(path)
        disk.fsync_dir(path.rpartition("/")[0])
    overrides.change(disk, "health_s", 60)
    return disk


def what_is_kept(disk: SimDisk) -> dict[str, bytes]:
    return {path: disk.read(path) for path in KEPT}


@pytest.mark.parametrize("kept", Kept)
def test_after_any_power_cut_the_box_is_who_it_was_and_the_reset_can_be_done_again(
    kept: Kept,
) -> None:
    before = what_is_kept(a_lived_in_disk())
    done = False
    cuts = 0
    while not done:
        disk = a_lived_in_disk()
        disk.cut_after = cuts
        with suppress(PowerCutError):
            wipe(disk)
            done = True
        again = disk.after_cut(kept)

        assert what_is_kept(again) == before, f"cut after change {cuts}"
        gone = [path for path in (overrides.FILE, *WIPED) if not again.exists(path)]
        if PIN in gone or done:
            assert len(gone) == 1 + len(WIPED), f"cut after change {cuts}: the PIN went first"
        wipe(again)
        assert not any(again.exists(path) for path in (overrides.FILE, *WIPED))
        assert what_is_kept(again) == before
        cuts += 1
    assert cuts > 4


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A box that a household has used."""
    found = Bench(tmp_path)
    for path in (*KEPT, *WIPED):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"what is in {path}")
    (tmp_path / "data/config.toml").write_text(CONFIG)
    (tmp_path / PIN).write_text(RIGHT)
    (tmp_path / overrides.FILE).write_text("changed")
    return found


def files_of(box: Path) -> dict[str, bytes]:
    return {path: (box / path).read_bytes() for path in KEPT}


def test_the_real_process_asks_the_player_wipes_its_own_and_asks_for_a_restart(
    bench: Bench,
) -> None:
    before = files_of(bench.box)
    with serve(bench.box) as media:
        bench.send("factory_reset", pin="4711")
        result = bench.result_of()

    assert (result.status, bench.deeds) == (ResultStatus.COMPLETE, ["reboot"])
    assert media.player.done == [("factory_reset", {})], "the PIN is not the player's business"
    assert not [path for path in (overrides.FILE, *WIPED) if (bench.box / path).exists()]
    assert files_of(bench.box) == before
    assert "4711" not in repr((bench.results, bench.progress))


@pytest.mark.parametrize(("pin", "lie"), [("4712", ""), ("4711", "hangs-up")])
def test_a_wrong_pin_or_a_player_that_does_not_do_it_wipes_nothing(
    bench: Bench, pin: str, lie: str
) -> None:
    with serve(bench.box, Player(), lie=lie) as media:
        bench.send("factory_reset", pin=pin)
        result = bench.result_of()

    assert result.error == (Refusal.MEDIA if lie else Refusal.WRONG_PIN)
    assert all((bench.box / path).exists() for path in (overrides.FILE, *WIPED, *KEPT))
    assert (bench.deeds, media.player.done) == ([], [])


def test_without_a_player_there_is_no_reset(bench: Bench) -> None:
    bench.send("factory_reset", pin="4711")

    assert bench.result_of().error == Refusal.NOT_ON_THIS_MODEL
    assert (bench.box / PIN).exists()


def test_a_reboot_when_idle_waits_for_no_viewer(bench: Bench) -> None:
    (bench.box / "run/viewer.present").touch()
    bench.send("reboot", "C-1", when_idle=True)
    assert bench.result_of("C-1").error == Refusal.VIEWER
    assert bench.deeds == []

    bench.send("reboot", "C-2", when_idle=False)
    assert bench.result_of("C-2").status is ResultStatus.COMPLETE
    assert bench.deeds == ["reboot"]


@pytest.mark.parametrize("verb", ["reboot", "factory_reset"])
def test_no_box_restarts_or_forgets_while_an_update_goes_on(bench: Bench, verb: str) -> None:
    bench.may_restart = False
    with serve(bench.box) as media:
        bench.send(verb, **({"pin": "4711"} if verb == "factory_reset" else {}))
        assert bench.result_of().error == Refusal.BUSY

    assert (bench.deeds, media.player.done) == ([], [])
    assert all((bench.box / path).exists() for path in (overrides.FILE, *WIPED))
