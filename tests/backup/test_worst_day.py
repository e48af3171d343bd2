"""A server is lost with everything on it, and comes back from a backup that is hours old."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from oleada_lab.boxes import Box, power_off_all
from oleada_lab.firmware.image import ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places, wait_until

from tests.support.processes import own_ports, processes_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
MODEL = "VX-240"
SETTINGS = {"health_s": 5, "connect_spread_s": 1, "trial_s": 60}
AHEAD, GOOD, FAILS, NEW = "240E2E00001", "240E2E00002", "240E2E00003", "240E2E00004"
PATIENCE_S = 120
LIMITS = {"sample_min": 1, "soak_s": 1, "failed_share_max": 0.5, "success_share_min": 0.5}


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """A running server on SQLite that trusts a new signer; nothing is left of it."""
    found = Operator(Places.under(tmp_path), own_ports())
    with found.server:
        found.establish([MODEL])
        yield found
    assert processes_of(tmp_path) == []


@pytest.fixture
def boxes(operator: Operator, tmp_path: Path) -> Iterator[dict[str, Box]]:
    """Three boxes on the old image, of which one can not play 1.1.0; on, and known."""
    made: dict[str, Box] = {}
    try:
        for serial in (AHEAD, GOOD, FAILS):
            made[serial] = _add(operator, tmp_path, serial)
            made[serial].power_on()
        _wait_for_versions(operator, dict.fromkeys(made, "1.0.0"))
        yield made
    finally:
        power_off_all(list(made.values()))


def test_boxes_that_know_more_than_a_restored_server_are_not_confused_by_it(
    operator: Operator, boxes: dict[str, Box], tmp_path: Path
) -> None:
    backup = tmp_path / "hours-ago.oleada-backup"
    _publish(operator, tmp_path, "1.1.0")
    _half_a_rollout(operator, boxes)
    operator.server.run("backup", backup)
    before = operator.devices()
    next_bundle = _go_on(operator, boxes, tmp_path)
    knew = {serial: (_version(box), _starts(box)) for serial, box in boxes.items()}

    operator.server.stop()
    shutil.rmtree(operator.server.data_dir)
    said = operator.server.run("restore", backup)
    operator.server.start()

    assert "R-1 is paused" in said
    # What was acknowledged before the backup is there; a box of after it is taken back.
    assert {row["id"] for row in before} <= {row["id"] for row in operator.devices()}
    wanted = {AHEAD: "1.2.0", GOOD: "1.1.0", FAILS: "1.0.0", NEW: "1.0.0"}
    _wait_for_versions(operator, wanted)
    shown = _show(operator)
    assert shown["state"] == "paused"
    assert _states(shown)["updated"] in {1, 2}  # one from the backup; another was told again
    assert "restored from the backup of" in shown["state_reason"]

    # What came after it is done again, and the rollout goes on to the end that it had.
    operator.server.run("release", "publish", next_bundle)
    operator.server.run("rollout", "resume", "R-1")
    wait_until(lambda: _show(operator)["state"] == "finished", PATIENCE_S, "the rollout ends")
    assert _states(_show(operator)) == {"updated": 2, "rolled_back": 1}
    assert _verdicts(operator) == {1: 3}  # three boxes, one verdict each
    assert {serial: (_version(box), _starts(box)) for serial, box in boxes.items()} == knew
    assert "holds" in operator.server.run("backup", tmp_path / "again.oleada-backup")


def _half_a_rollout(operator: Operator, boxes: dict[str, Box]) -> None:
    """Update one box of three while the others are off."""
    for serial in (GOOD, FAILS):
        boxes[serial].power_off()
    ids = {row["serial"]: row["id"] for row in operator.devices()}
    first = {"name": "Canary", "device_ids": [ids[AHEAD]], **LIMITS}
    rest = {"name": "Everyone", "share_until": 1.0, **LIMITS, "sample_min": 2}
    _start(operator, "1.1.0", [first, rest])
    _wait_for_versions(operator, {AHEAD: "1.1.0"})
    wait_until(
        lambda: _states(_show(operator)) == {"updated": 1, "assigned": 2},
        PATIENCE_S,
        "one box is updated, and two are assigned",
    )


def _go_on(operator: Operator, boxes: dict[str, Box], folder: Path) -> Path:
    """Let everything go on after the backup; return the bundle of the release of after it."""
    for serial in (GOOD, FAILS):
        boxes[serial].power_on()
    wait_until(lambda: _show(operator)["state"] == "finished", PATIENCE_S, "the rollout ends")
    bundle = _publish(operator, folder, "1.2.0")
    ids = {row["serial"]: row["id"] for row in operator.devices()}
    _start(operator, "1.2.0", [{"name": "One", "device_ids": [ids[AHEAD]], **LIMITS}])
    boxes[NEW] = _add(operator, folder, NEW)
    boxes[NEW].power_on()
    _wait_for_versions(operator, {AHEAD: "1.2.0", GOOD: "1.1.0", FAILS: "1.0.0", NEW: "1.0.0"})
    wait_until(lambda: _show(operator, "R-2")["state"] == "finished", PATIENCE_S, "R-2 ends")
    return bundle


def _add(operator: Operator, folder: Path, serial: str) -> Box:
    fails = ("1.1.0",) if serial == FAILS else ()
    image = _image(folder, "1.0.0")
    return operator.add_box(serial, MODEL, image, settings=SETTINGS, player_fails_on=fails)


def _image(folder: Path, version: str) -> Path:
    path = folder / f"{version}.img"
    if not path.exists():
        build_small_image(ImageSpec(MODEL, version), path)
    return path


def _publish(operator: Operator, folder: Path, version: str) -> Path:
    """Publish a release; return its bundle, which the signer keeps."""
    base = operator.server.config.tuf_dir
    image = _image(folder, version)
    bundle = operator.signer.bundle(image, MODEL, version, base, {"en": "Better."})
    operator.server.run("release", "publish", bundle)
    return bundle


def _start(operator: Operator, version: str, waves: list[dict[str, Any]]) -> None:
    plan = {"hardware_model": MODEL, "version": version, "waves": waves, "spread_s": 0,
            "evidence": None}  # fmt: skip
    number = operator.server.client.post("/api/v1/rollouts", plan)["id"]
    operator.server.client.post(f"/api/v1/rollouts/{number}/start")


def _show(operator: Operator, number: str = "R-1") -> dict[str, Any]:
    found: dict[str, Any] = operator.server.client.get(f"/api/v1/rollouts/{number}")
    return found


def _states(shown: dict[str, Any]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for wave in shown["waves"]:
        found.update(wave["states"])
    return dict(found)


def _wait_for_versions(operator: Operator, wanted: dict[str, str]) -> None:
    def is_so() -> bool:
        found = {row["serial"]: row["version"] for row in operator.devices()}
        return all(found.get(serial) == version for serial, version in wanted.items())

    wait_until(is_so, PATIENCE_S, f"the server knows {wanted}")


def _verdicts(operator: Operator) -> dict[int, int]:
    """Return how many (box, attempt) of R-1 have how many verdicts."""
    query = """
        SELECT count(*) FROM report JOIN box_in_wave ON box_in_wave.id = report.box_id
        WHERE rollout_id = 1 AND phase IN ('updated', 'declined', 'failed', 'rolled_back')
        GROUP BY box_id, report.attempt
    """
    with closing(sqlite3.connect(operator.server.data_dir / "oleada.db")) as database:
        return dict(Counter(number for (number,) in database.execute(query)))


def _version(box: Box) -> str:
    booted = box.booted()
    assert booted is not None
    return str(booted["version"])


def _starts(box: Box) -> str:
    """Return what counts the starts of a box: none may be added by a restore."""
    return (box.directory / "data" / "boot_count").read_text()
