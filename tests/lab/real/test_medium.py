"""The disk model under a kernel: what FUSE asks for is answered as the model says.

Without a mount, for that a machine may not allow; the calls are those of the kernel.
"""

import errno
import os
import stat
from pathlib import Path
from random import Random

import pytest
from oleada_agent.journal import write_whole
from oleada_lab.real.medium import Medium, recorded
from oleada_lab.sim.crash import NAMED, Kept
from oleada_lab.sim.disk import IO_ERROR, Fault, SimDisk

SEED = 20_261_122


@pytest.fixture
def factory(tmp_path: Path) -> Path:
    for name in ("slots", "boot", "data", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "slots/a.img").write_bytes(Random(SEED).randbytes(10_000))
    (tmp_path / "run/old").write_text("of the boot before")
    return tmp_path


@pytest.fixture
def medium(factory: Path) -> Medium:
    found = Medium()
    found.load(factory)
    return found


def kernel_writes_whole(medium: Medium, path: str, data: bytes) -> None:
    """Ask what a kernel asks when the agent's ``write_whole`` runs on FUSE."""
    medium.create(f"{path}.tmp", 0o600, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    medium.write(f"{path}.tmp", data, 0, 0)
    medium.fsync(f"{path}.tmp", 0, 0)
    medium.rename(f"{path}.tmp", path)
    medium.fsyncdir(os.path.dirname(path), 0, 0)


def content(medium: Medium, path: str) -> bytes | None:
    try:
        return medium.read(path, 1 << 20, 0, 0)
    except FileNotFoundError:
        return None


def test_the_kernels_calls_are_the_operations_of_the_port(medium: Medium) -> None:
    port = SimDisk()
    told: list[tuple[str, str, str]] = []
    port.watch = lambda op: told.append((op.kind, op.path, op.to))

    write_whole(port, "data/state", b"new")
    kernel_writes_whole(medium, "/data/state", b"new")

    assert [(op.kind, op.path, op.to) for op in medium.log] == told


@pytest.mark.parametrize("kept", NAMED)
@pytest.mark.parametrize("cut", range(1, 6))
def test_after_a_cut_the_kernel_finds_what_the_model_finds(
    medium: Medium, kept: Kept, cut: int
) -> None:
    port = SimDisk()
    at_cut: list[SimDisk] = []
    port.watch = lambda op: at_cut.append(port.fork()) if op.number == cut else None
    write_whole(port, "data/state", b"new")
    expected = at_cut[0].after_cut(kept)

    medium.cut_after = cut
    with pytest.raises(OSError, match="plug"):
        kernel_writes_whole(medium, "/data/state", b"new")
    medium.lose_power(kept)

    for name in ("data/state", "data/state.tmp"):
        found = expected.read(name) if expected.exists(name) else None
        assert content(medium, f"/{name}") == found


def test_who_has_no_power_is_killed_before_he_is_answered(medium: Medium) -> None:
    killed: list[int] = []
    medium.on_cut = lambda: killed.append(medium.changes)
    medium.cut_after = 2

    medium.create("/data/x", 0o600)
    with pytest.raises(OSError, match="plug"):
        medium.write("/data/x", b"1", 0, 0)
    with pytest.raises(OSError, match="no power"):
        medium.getattr("/data/x")

    assert killed == [2]
    medium.lose_power(Kept.ALL)
    assert content(medium, "/data/x") == b"1"


def test_run_is_memory_counted_nowhere_and_gone_after_a_cut(medium: Medium) -> None:
    medium.mkdir("/run/deeper", 0o700)
    medium.create("/run/deeper/x", 0o600)
    medium.write("/run/deeper/x", b"1", 0, 0)
    medium.fsync("/run/deeper/x", 0, 0)
    assert medium.log == []
    assert "run" in medium.readdir("/", 0)

    medium.lose_power(Kept.ALL)

    assert content(medium, "/run/deeper/x") is None
    assert content(medium, "/run/old") is None
    assert stat.S_ISDIR(medium.getattr("/run")["st_mode"])


def test_an_emptied_file_is_the_operation_create(medium: Medium) -> None:
    medium.create("/boot/power.lock", 0o600)
    medium.open("/boot/power.lock", os.O_WRONLY | os.O_TRUNC)
    medium.open("/boot/power.lock", os.O_RDONLY)

    assert [op.kind for op in medium.log] == ["create", "create"]


def test_a_folder_whose_parent_was_not_synced_is_lost_with_all_in_it(medium: Medium) -> None:
    medium.mkdir("/data/outbox", 0o700)
    kernel_writes_whole(medium, "/data/outbox/1", b"a report")

    medium.lose_power(Kept.NONE)

    with pytest.raises(OSError, match="outbox"):
        medium.getattr("/data/outbox")


def test_what_was_kept_comes_back_as_often_as_asked_for(medium: Medium) -> None:
    kernel_writes_whole(medium, "/data/state", b"old")
    medium.create("/data/pending", 0o600)
    medium.keep("here")
    before = medium.digest()
    kernel_writes_whole(medium, "/data/state", b"new")
    assert medium.digest() != before

    for _ in range(2):
        medium.back("here")
        assert medium.digest() == before
        assert content(medium, "/data/pending") == b""
        medium.lose_power(Kept.NONE)
        assert content(medium, "/data/pending") is None
        assert content(medium, "/data/state") == b"old"


@pytest.mark.parametrize(
    ("code", "make_worse"),
    [
        (errno.EIO, lambda medium: medium.strike((Fault(2, IO_ERROR, on="data/"),))),
        (errno.ENOSPC, lambda medium: setattr(medium, "full_after", 1)),
        (errno.EROFS, lambda medium: setattr(medium, "read_only_after", 1)),
    ],
    ids=["EIO", "ENOSPC", "EROFS"],
)
def test_a_medium_that_fails_says_so_as_a_kernel_does(
    medium: Medium, code: int, make_worse: object
) -> None:
    assert callable(make_worse)
    make_worse(medium)
    medium.create("/data/before", 0o600)
    with pytest.raises(OSError, match="data") as caught:
        medium.create("/data/x", 0o600)
    assert caught.value.errno == code
    assert content(medium, "/slots/a.img") is not None

    medium.mend()
    medium.create("/data/x", 0o600)

    assert content(medium, "/data/x") == b""


def test_a_slow_medium_waits_before_each_fsync_and_then_does_it(medium: Medium) -> None:
    waits: list[int] = []
    medium.before_sync = lambda: waits.append(medium.changes)

    kernel_writes_whole(medium, "/data/state", b"new")

    assert waits == [2, 4]
    medium.lose_power(Kept.NONE)
    assert content(medium, "/data/state") == b"new"


def test_the_medium_is_kept_after_each_operation_as_it_was_then(medium: Medium) -> None:
    moments = iter(range(100))
    medium.clock = lambda: float(next(moments))
    medium.recorded_as = "life"
    kernel_writes_whole(medium, "/data/state", b"new")
    numbers = [op.number for op in medium.log]
    assert medium.moments == [0.0, 1.0, 2.0, 3.0, 4.0]

    found = []
    for number in numbers:
        medium.back(recorded("life", number))
        medium.lose_power(Kept.ALL)
        found.append((content(medium, "/data/state.tmp"), content(medium, "/data/state")))

    assert found == [(b"", None), (b"new", None), (b"new", None), (None, b"new"), (None, b"new")]


def test_a_record_that_is_forgotten_takes_no_other_with_it(medium: Medium) -> None:
    for name in ("life", "lifetime"):
        medium.recorded_as = name
        kernel_writes_whole(medium, "/data/state", b"new")

    medium.forget("life")

    medium.back(recorded("lifetime", 6))
    with pytest.raises(KeyError):
        medium.back(recorded("life", 1))


def test_the_plug_is_pulled_after_an_operation_by_its_name_whatever_came_before(
    medium: Medium,
) -> None:
    killed: list[bool] = []
    medium.on_cut = lambda: killed.append(True)
    medium.cut_at = "rename data/state.tmp 2"
    kernel_writes_whole(medium, "/data/other", b"comes between")
    kernel_writes_whole(medium, "/data/state", b"first")

    with pytest.raises(OSError, match="plug"):
        kernel_writes_whole(medium, "/data/state", b"second")

    assert (killed, medium.is_dark, medium.log[-1].kind) == ([True], True, "rename")
