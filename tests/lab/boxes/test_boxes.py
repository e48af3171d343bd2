"""Boxes as processes: power on, off and cut, over the real boot program.

Their images hang on purpose: the agent never starts, so that no server is needed.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from oleada_agent.boot.errors import ImageError
from oleada_lab.boxes import Box, BoxPlan, make_box, powered
from oleada_lab.errors import BoxError
from oleada_lab.firmware.image import BuiltImage, ImageSpec, build_small_image
from oleada_lab.operator import wait_until

pytestmark = pytest.mark.real
PLAN = BoxPlan(
    serial="410C2600001",
    hardware_model="VX-410",
    enrol_url="https://127.0.0.1:1/device/v1/enrol",
    ca_pem="-----BEGIN CERTIFICATE-----\n",
    claim_token="token",
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    """A tiny image whose agent never starts."""
    out = tmp_path_factory.mktemp("images") / "hang.img"
    return build_small_image(ImageSpec("VX-410", "1.0.0", behaviour="hang"), out, system_bytes=512)


def test_a_new_box_boots_its_factory_image_from_slot_a(tmp_path: Path, image: BuiltImage) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)

    with powered([box]):
        booted = _boot(box)

    assert (booted["slot"], booted["version"], booted["boot_reason"]) == ("A", "1.0.0", "power_on")
    assert box.slot_sha256("A") == image.sha256


def test_an_empty_slot_has_no_header(tmp_path: Path, image: BuiltImage) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)

    with pytest.raises(ImageError):
        box.image_header("B")


def test_one_flipped_byte_in_the_only_image_leaves_the_box_dark(
    tmp_path: Path, image: BuiltImage
) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)
    with box.slot_path("A").open("r+b") as file:
        file.seek(image.size_bytes // 2)
        byte = file.read(1)[0]
        file.seek(image.size_bytes // 2)
        file.write(bytes([byte ^ 1]))

    with powered([box]):
        wait_until(lambda: not box.is_on, 60, "the boot program gives up")

    assert "can not boot" in box.console()
    assert box.booted() is None


def test_a_power_cut_takes_every_process_of_the_box(tmp_path: Path, image: BuiltImage) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)
    with powered([box]):
        _boot(box)
        wait_until(lambda: len(_family(box)) == 2, 60, "the image's process runs")
        family = _family(box)

        box.power_cut()

        assert not box.is_on
        wait_until(lambda: not any(map(_runs, family)), 60, "all processes are gone")


def test_a_box_boots_again_after_a_power_cut(tmp_path: Path, image: BuiltImage) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)
    with powered([box]):
        first = _boot(box)["boot_id"]
        box.power_cut()

        box.power_on()

        wait_until(lambda: _boot(box)["boot_id"] != first, 60, "it boots again")
        assert str(_boot(box)["boot_id"]) > str(first)


def test_a_clean_power_off_ends_the_box(tmp_path: Path, image: BuiltImage) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)
    with powered([box]):
        _boot(box)
        family = _family(box)

        box.power_off()

        assert not any(map(_runs, family))


def test_powering_on_twice_starts_one_box(tmp_path: Path, image: BuiltImage) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)
    with powered([box]):
        pid = box.pid

        box.power_on()

        assert box.pid == pid


def test_boxes_die_with_the_lab_even_when_it_is_killed(tmp_path: Path, image: BuiltImage) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)
    script = (
        "import sys; from pathlib import Path; from oleada_lab.boxes import Box;"
        "box = Box(Path(sys.argv[1])); box.power_on(); print(box.pid, flush=True); sys.stdin.read()"
    )
    lab = subprocess.Popen(
        [sys.executable, "-c", script, str(box.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with lab:
        assert lab.stdout is not None
        process = psutil.Process(int(lab.stdout.readline()))

        lab.kill()

    wait_until(lambda: not _runs(process), 60, "the box is gone")


def test_a_box_whose_lab_went_before_it_began_does_not_start(
    tmp_path: Path, image: BuiltImage
) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)

    started = subprocess.run(
        [
            *(sys.executable, "-m", "oleada_agent.boot.program"),
            *("--box", str(box.directory), "--dies-with", "1"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert started.returncode == 1
    assert "the process 1 that gave this box its power is gone" in started.stderr


def test_a_box_is_made_once(tmp_path: Path, image: BuiltImage) -> None:
    make_box(tmp_path / "box", PLAN, image.path)

    with pytest.raises(BoxError, match="a box is made once"):
        make_box(tmp_path / "box", PLAN, image.path)


def test_a_box_that_is_off_has_no_process_id(tmp_path: Path, image: BuiltImage) -> None:
    box = make_box(tmp_path / "box", PLAN, image.path)

    with pytest.raises(BoxError, match="power it on first"):
        assert box.pid


def test_what_makes_a_box_peculiar_is_where_the_boot_program_looks(
    tmp_path: Path, image: BuiltImage
) -> None:

    box = make_box(tmp_path / "box", replace(PLAN, player_fails_on=("1.0.0",)), image.path)
    other = make_box(tmp_path / "other", PLAN, image.path)

    with powered([box, other]):
        _boot(box)
        wait_until((other.directory / "run/player.ready").exists, 60, "the other's player is ready")
        wait_until((box.directory / "run/agent.log").exists, 60, "the image runs")

    assert not (box.directory / "run/player.ready").exists()


def _boot(box: Box) -> dict[str, object]:
    wait_until(lambda: box.booted() is not None, 60, "the box has booted")
    found = box.booted()
    assert found is not None
    return found


def _family(box: Box) -> list[psutil.Process]:
    leader = psutil.Process(box.pid)
    return [leader, *leader.children(recursive=True)]


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
