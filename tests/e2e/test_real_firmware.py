"""The whole way of a real image: signer, server, broker, database, eight agents.

Six boxes are healthy, on one the media player does not get ready on the new image, and
one loses power half way through its download. What the server counts, what the boxes
have in their journals and what lies in their slots must be one story.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from oleada_agent.boot import image as images
from oleada_agent.machine_states import Downloading, Idle
from oleada_lab.bench.footprint import agent_of
from oleada_lab.boxes import Box, power_off_all
from oleada_lab.errors import OperatorError
from oleada_lab.firmware.image import BuiltImage
from oleada_lab.operator import Operator, Places, wait_until
from oleada_wire.words import Reason

from tests.support.postgres import running_cluster
from tests.support.processes import own_ports, processes_of
from tests.support.real_images import real_images

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
MODEL = "VX-410"
HEALTHY, UNHEALTHY, CUT = 6, "410E2E00007", "410E2E00008"
MIB = 1024 * 1024
WAIT_S = 240
"""For any part of the story; on a busy machine most of it is waiting for the processor."""


@dataclass(frozen=True)
class Fleet:
    """The operator, the two images and the eight boxes by serial, all switched on."""

    operator: Operator
    factory: BuiltImage
    update: BuiltImage
    boxes: dict[str, Box]

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Return when *done*; if that takes too long, fail with where every box is."""
        try:
            wait_until(done, WAIT_S, what)
        except OperatorError as error:
            stages = {
                serial: f"{type(state.stage).__name__} {box.is_on=}"
                for serial, box in self.boxes.items()
                if (state := box.journal()) is not None
            }
            rollouts = self.operator.server.client.get("/api/v1/rollouts")["rollouts"]
            shown = [self.rollout(row["id"])["waves"] for row in rollouts]
            raise AssertionError(f"{error} Boxes: {stages}. Rollouts: {shown}") from error

    def ids(self) -> dict[str, str]:
        """Return device ids by serial."""
        return {device["serial"]: device["id"] for device in self.operator.devices()}

    def ranges_asked(self) -> list[int]:
        """Return where each download of an image began, in bytes, as the server logged it."""
        logs = self.operator.server.config.logs_dir
        text = "".join(path.read_text(errors="replace") for path in sorted(logs.iterdir()))
        return [int(found) for found in re.findall(r"/artifacts/[0-9a-f]{64} .*bytes=(\d+)-", text)]

    def rollout(self, name: str) -> dict[str, Any]:
        """Return a rollout as REST shows it."""
        found: dict[str, Any] = self.operator.server.client.get(f"/api/v1/rollouts/{name}")
        return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Eight boxes on the older real image; the newer one is signed and published."""
    home = tmp_path_factory.mktemp("e2e")
    factory, update = real_images(tmp_path_factory)
    with running_cluster(tmp_path_factory.mktemp("postgresql")) as cluster:
        url = cluster.url(cluster.create())
        operator = Operator(Places.under(home), {"database_url": url, **own_ports()})
        boxes: dict[str, Box] = {}
        with operator.server:
            operator.establish([MODEL])
            for built in (factory, update):
                notes = {"en": f"Kernel and modules of {built.spec.version}."}
                operator.publish(built.path, MODEL, built.spec.version, notes)
            try:
                for number in range(1, HEALTHY + 3):
                    box = _add_box(operator, f"410E2E{number:05d}", factory, update)
                    boxes[box.name] = box
                    box.power_on()
                yield Fleet(operator, factory, update, boxes)
            finally:
                power_off_all(list(boxes.values()))
    assert processes_of(home) == []


@dataclass(frozen=True)
class Story:
    """How the rollout went.

    Attributes:
        durable_bytes: Of the download in the cut box's journal, when its power went.
        received_bytes: In its slot at that time, durable or not.
        shown: The rollout as REST shows it at the end.
        versions: Of each box by serial, as REST shows them at the end.
        states: Of each box by serial, as the rollout's list of boxes shows them.
    """

    durable_bytes: int
    received_bytes: int
    shown: dict[str, Any]
    versions: dict[str, str]
    states: dict[str, str]


@pytest.fixture(scope="module")
def story(fleet: Fleet) -> Story:
    """The rollout from start to end, with one box dark for a part of it."""
    client = fleet.operator.server.client
    everybody = len(fleet.boxes)
    fleet.wait(lambda: _running(fleet, fleet.factory) == everybody, "all boxes said hello")
    rollout = client.post("/api/v1/rollouts", _plan(fleet))["id"]
    client.post(f"/api/v1/rollouts/{rollout}/start")
    cut = fleet.boxes[CUT]
    fleet.wait(lambda: _done_bytes(cut) > 0.4 * fleet.update.size_bytes, "one box is half way")
    cut.power_cut()
    durable_bytes, received_bytes = _done_bytes(cut), cut.slot_path("B").stat().st_size
    fleet.wait(lambda: _ended(fleet, rollout) == everybody - 1, "all others have ended")
    cut.power_on()
    fleet.wait(lambda: fleet.rollout(rollout)["state"] == "finished", "the rollout ends")
    fleet.wait(lambda: all(map(_is_idle, fleet.boxes.values())), "every box is idle")
    rows = client.get(f"/api/v1/rollouts/{rollout}/boxes")["boxes"]
    serials = {device_id: serial for serial, device_id in fleet.ids().items()}
    return Story(
        durable_bytes,
        received_bytes,
        fleet.rollout(rollout),
        {device["serial"]: device["version"] for device in fleet.operator.devices()},
        {serials[row["device_id"]]: row["state"] for row in rows},
    )


def test_the_server_counts_seven_updated_and_one_rolled_back(story: Story) -> None:
    by_wave: Counter[str] = Counter()
    for wave in story.shown["waves"]:
        by_wave.update(wave["states"])

    assert by_wave == {"updated": HEALTHY + 1, "rolled_back": 1}
    assert Counter(story.states.values()) == by_wave
    assert [(why["reason"], why["boxes"]) for why in story.shown["why_failed"]] == [
        ("health-check", 1)
    ]


def test_server_and_journals_tell_the_same_of_every_box(fleet: Fleet, story: Story) -> None:
    journals = {}
    for serial, box in fleet.boxes.items():
        state = box.journal()
        assert state is not None
        assert state.last is not None
        journals[serial] = (str(state.last.phase), state.running.version)

    assert journals == {serial: (story.states[serial], story.versions[serial])
                        for serial in fleet.boxes}  # fmt: skip


def test_the_box_whose_player_fails_runs_the_old_image_and_never_tries_again(
    fleet: Fleet, story: Story
) -> None:
    state = fleet.boxes[UNHEALTHY].journal()

    assert state is not None
    assert state.last is not None
    assert state.last.reason is Reason.HEALTH_CHECK
    assert state.quarantined == (fleet.update.sha256,)
    assert story.versions[UNHEALTHY] == fleet.factory.spec.version
    assert _slot(fleet.boxes[UNHEALTHY]) == "A"


def test_the_slots_hold_the_signed_bytes(fleet: Fleet, story: Story) -> None:
    updated = [box for serial, box in fleet.boxes.items() if story.states[serial] == "updated"]

    assert {box.slot_sha256("A") for box in fleet.boxes.values()} == {fleet.factory.sha256}
    assert {box.slot_sha256("B") for box in updated} == {fleet.update.sha256}
    assert story.shown["sha256"] == fleet.update.sha256


def test_after_the_power_cut_at_most_one_mebibyte_was_fetched_again(
    fleet: Fleet, story: Story
) -> None:
    asked = fleet.ranges_asked()

    assert 0 < story.durable_bytes < fleet.update.size_bytes
    assert story.received_bytes - story.durable_bytes <= MIB
    assert [start for start in asked if start > 0] == [story.durable_bytes]
    assert asked.count(0) == len(fleet.boxes)


@pytest.mark.usefixtures("story")
def test_the_agent_that_runs_is_the_one_of_the_new_slot(fleet: Fleet) -> None:
    box = fleet.boxes["410E2E00001"]
    running = (box.directory / "run" / "agent.pyz").read_bytes()

    in_new = images.read_inner(box.slot_path("B"), images.AGENT_PATH)
    in_old = images.read_inner(box.slot_path("A"), images.AGENT_PATH)

    assert running == in_new
    assert running != in_old
    assert str(box.directory / "run" / "agent.pyz") in agent_of(box).cmdline()


@pytest.mark.usefixtures("story")
def test_one_flipped_byte_makes_the_new_slot_unbootable(fleet: Fleet) -> None:
    box = fleet.boxes["410E2E00002"]
    before = box.booted()
    box.power_off()
    _flip(box.slot_path("B"), fleet.update.size_bytes * 2 // 3)

    box.power_on()
    wait_until(lambda: box.booted() not in (None, before), 60, "the box boots again")

    assert _slot(box) == "A"
    wait_until(
        lambda: _device(fleet, box.name)["version"] == fleet.factory.spec.version,
        60,
        "the server knows that the older image runs again",
    )


def _add_box(operator: Operator, serial: str, factory: BuiltImage, update: BuiltImage) -> Box:
    settings = {"health_s": 10, "connect_spread_s": 2, "trial_s": 60}
    if serial == CUT:
        settings["download_bytes_per_s_max"] = 4 * MIB
    fails_on = (update.spec.version,) if serial == UNHEALTHY else ()
    return operator.add_box(
        serial, MODEL, factory.path, settings=settings, player_fails_on=fails_on
    )


def _plan(fleet: Fleet) -> dict[str, Any]:
    canaries = [fleet.ids()[serial] for serial in ("410E2E00001", "410E2E00002")]
    limits = {"failed_share_max": 0.2, "success_share_min": 0.8, "soak_s": 1}
    return {
        "hardware_model": MODEL,
        "version": fleet.update.spec.version,
        "waves": [
            {"name": "Canaries", "device_ids": canaries, "sample_min": 2, **limits},
            {"name": "Everyone", "share_until": 1.0, "sample_min": 5, **limits},
        ],
        "spread_s": 1,
        "silent_after_s": 600,
        "evidence": None,
    }


def _running(fleet: Fleet, built: BuiltImage) -> int:
    devices = fleet.operator.devices()
    return sum(1 for device in devices if device["version"] == built.spec.version)


def _device(fleet: Fleet, serial: str) -> dict[str, Any]:
    return next(device for device in fleet.operator.devices() if device["serial"] == serial)


def _states(fleet: Fleet, rollout: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for wave in fleet.rollout(rollout)["waves"]:
        found.update(wave["states"])
    return found


def _ended(fleet: Fleet, rollout: str) -> int:
    found = _states(fleet, rollout)
    return found["updated"] + found["rolled_back"] + found["failed"] + found["declined"]


def _done_bytes(box: Box) -> int:
    state = box.journal()
    if state is None:
        return 0
    return state.stage.done_bytes if isinstance(state.stage, Downloading) else 0


def _is_idle(box: Box) -> bool:
    state = box.journal()
    return state is not None and isinstance(state.stage, Idle)


def _slot(box: Box) -> object:
    return (box.booted() or {}).get("slot")


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x01]))
