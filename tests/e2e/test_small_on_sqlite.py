"""The same way with tiny images on SQLite, and a server that is killed in the middle.

One server and three boxes for both stories: each begins with what its boxes run then.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oleada_lab.boxes import Box, power_off_all
from oleada_lab.firmware.image import BuiltImage, ImageSpec, build_small_image
from oleada_lab.operator import Operator, Places, wait_until
from oleada_wire import envelope

from tests.support.processes import own_ports, processes_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(480)]
MODEL = "VX-240"
OLD, NEW, BAD = "1.0.0", "1.1.0", "1.2.0"
SLOTS = ("A", "B")
SETTINGS = {"health_s": 5, "connect_spread_s": 1, "trial_s": 45}
GOOD, OTHER, FAILS = "240E2E00001", "240E2E00002", "240E2E00003"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the server, its boxes and their images."""
    return tmp_path_factory.mktemp("small")


@pytest.fixture(scope="module")
def operator(home: Path) -> Iterator[Operator]:
    """A running server on SQLite that trusts a new signer; nothing is left of it."""
    found = Operator(Places.under(home), own_ports())
    with found.server:
        found.establish([MODEL], waves_by_people=True)
        yield found
    assert processes_of(home) == []


@pytest.fixture(scope="module")
def boxes(operator: Operator, home: Path) -> Iterator[dict[str, Box]]:
    """Three boxes on the old image, switched on and known to the server."""
    old = _image(home, OLD)
    found = {
        serial: operator.add_box(
            serial,
            MODEL,
            old.path,
            settings=SETTINGS,
            player_fails_on=(NEW,) if serial == FAILS else (),
        )
        for serial in (GOOD, OTHER, FAILS)
    }
    try:
        for box in found.values():
            box.power_on()
        wait_until(lambda: len(_versions(operator)) == len(found), 120, "all boxes said hello")
        yield found
    finally:
        power_off_all(list(found.values()))


def test_a_rollout_survives_a_server_that_is_killed_in_the_middle(
    operator: Operator, boxes: dict[str, Box], home: Path
) -> None:
    new = _image(home, NEW, system_bytes=24 * 1024 * 1024)
    operator.publish(new.path, MODEL, NEW, {"en": "A picture on every channel."})
    rollout = _start(operator, NEW)
    wait_until(lambda: "downloading" in _states(operator, rollout), 60, "a box downloads")
    assert _assigned_together(operator) == [(3, 0), (3, 1), (3, 2)]

    operator.server.kill()
    operator.server.start()
    wait_until(lambda: _show(operator, rollout)["state"] == "finished", 240, "it ends")

    assert _states(operator, rollout) == {"updated": 2, "rolled_back": 1}
    assert _versions(operator) == {GOOD: NEW, OTHER: NEW, FAILS: OLD}
    assert boxes[GOOD].slot_sha256("B") == new.sha256 == _show(operator, rollout)["sha256"]


def test_a_release_that_crashes_rolls_back_and_halts_before_the_second_wave(
    operator: Operator, boxes: dict[str, Box], home: Path
) -> None:
    """Whatever the boxes ran before, they run it after, and only the canary has downloaded."""
    versions, slots = _versions(operator), _slots(boxes[OTHER])
    bad = _image(home, BAD, behaviour="crash")
    operator.publish(bad.path, MODEL, BAD, {"en": "It does not even start."})
    canary = _ids(operator)[GOOD]
    limits = {"sample_min": 1, "soak_s": 1}
    rollout = _start(
        operator,
        BAD,
        waves=[
            {"name": "Canary", "device_ids": [canary], **limits},
            {"name": "Everyone", "share_until": 1.0, **limits},
        ],
    )

    wait_until(lambda: _show(operator, rollout)["state"] == "halted", 120, "it halts")

    assert _states(operator, rollout) == {"rolled_back": 1, "queued": 2}
    wait_until(lambda: _versions(operator) == versions, 60, "the canary runs what it ran")
    assert bad.sha256 in {boxes[GOOD].slot_sha256(slot) for slot in SLOTS}
    assert _slots(boxes[OTHER]) == slots


def _image(
    folder: Path, version: str, *, behaviour: str = "good", system_bytes: int = 1024 * 1024
) -> BuiltImage:
    spec = ImageSpec(MODEL, version, behaviour=behaviour)
    return build_small_image(spec, folder / f"{version}.img", system_bytes=system_bytes)


def _slots(box: Box) -> list[str]:
    """Return a digest of whatever lies in each slot, which may be nothing."""
    return [hashlib.sha256(box.slot_path(slot).read_bytes()).hexdigest() for slot in SLOTS]


def _start(operator: Operator, version: str, waves: list[dict[str, Any]] | None = None) -> str:
    everyone = {
        "name": "Everyone",
        "share_until": 1.0,
        "sample_min": 3,
        "failed_share_max": 0.5,
        "success_share_min": 0.5,
        "soak_s": 1,
    }
    plan = {
        "hardware_model": MODEL,
        "version": version,
        "waves": waves or [everyone],
        "evidence": None,
        "spread_s": 0,
    }
    client = operator.server.client
    rollout: str = client.post("/api/v1/rollouts", plan)["id"]
    client.post(f"/api/v1/rollouts/{rollout}/start")
    assert set(_states(operator, rollout)) == {"queued"}  # nobody has signed its waves
    operator.sign_waves(rollout)
    return rollout


def _show(operator: Operator, rollout: str) -> dict[str, Any]:
    found: dict[str, Any] = operator.server.client.get(f"/api/v1/rollouts/{rollout}")
    return found


def _states(operator: Operator, rollout: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for wave in _show(operator, rollout)["waves"]:
        for state, boxes in wave["states"].items():
            found[state] = found.get(state, 0) + boxes
    return found


def _assigned_together(operator: Operator) -> list[tuple[int, int]]:
    """Return size of the batch and number in it of each assignment that the broker holds."""
    database = sqlite3.connect(operator.server.config.data_dir / "oleada.db")
    query = "SELECT payload FROM retained_message WHERE topic LIKE '%/down/assign'"
    try:
        sealed = [json.loads(payload) for (payload,) in database.execute(query)]
    finally:
        database.close()
    places = [one.place for outer in sealed for one in envelope.parts("assign", outer)[1]]
    return sorted((place.size, place.number) for place in places if place is not None)


def _ids(operator: Operator) -> dict[str, str]:
    return {device["serial"]: device["id"] for device in operator.devices()}


def _versions(operator: Operator) -> dict[str, str]:
    """Return the version of each box that has said hello, by serial."""
    devices = operator.devices()
    return {device["serial"]: device["version"] for device in devices if device["version"]}
