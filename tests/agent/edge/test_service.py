"""A real agent, started by the real boot program out of a real image, in a small house."""

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_agent import clock
from oleada_agent.health import utc
from oleada_lab.boxes import Box, BoxPlan, make_box
from oleada_lab.firmware.image import BuiltImage, ImageSpec, build_small_image
from oleada_wire import messages, topics
from oleada_wire.actions import Value
from oleada_wire.messages import Cmd, Health, Hello, LeaseRequest, Log, Progress, Report, Result
from oleada_wire.topics import Down, Up
from oleada_wire.words import BootReason, Phase, Reason, ResultStatus

from tests.agent.edge.house import DEVICE, HOUR_MS, Desk, House
from tests.agent.edge.repository import MODEL, Repository

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BuiltImage]:
    home = tmp_path_factory.mktemp("images")
    specs = {
        "factory": ImageSpec(MODEL, "5.8.1", security_version=2),
        "good": ImageSpec(MODEL, "5.8.2", security_version=3, provides=("codec:av1",)),
        "unhealthy": ImageSpec(MODEL, "5.8.2", security_version=3, behaviour="unhealthy"),
    }
    return {
        name: build_small_image(spec, home / f"{name}.img", system_bytes=256 * 1024)
        for name, spec in specs.items()
    }


@pytest.fixture
def desk(tmp_path: Path, images: dict[str, BuiltImage]) -> Iterator[Desk]:
    repository = Repository(now=utc(clock.now_ms()))
    (tmp_path / "house").mkdir()
    with House(tmp_path / "house", repository).open() as house, Desk(house) as found:
        yield found


@pytest.fixture
def box(tmp_path: Path, desk: Desk, images: dict[str, BuiltImage]) -> Iterator[Box]:
    plan = BoxPlan(
        serial="SN-1",
        hardware_model=MODEL,
        enrol_url=desk.house.door.url,
        ca_pem=desk.house.services.pem,
        claim_token="claim-me",
        settings={"health_s": 2, "connect_spread_s": 0, "settle_s": 1, "player_s": 2},
    )
    made = make_box(tmp_path / "box", plan, images["factory"].path)
    made.power_on()
    yield made
    made.power_off()


def offer(desk: Desk, image: BuiltImage) -> bytes:
    """Sign and publish *image* for the model, put it behind the door, and assign it."""
    data = image.path.read_bytes()
    desk.repository.add_target(f"{MODEL}/5.8.2.img", data)
    desk.repository.publish(MODEL)
    desk.house.door.artifacts[image.sha256] = data
    desk.publish_trust(data)
    desk.assign(data)
    return data


def test_a_box_enrols_says_hello_and_tells_how_it_is(desk: Desk, box: Box) -> None:
    hello = desk.wait_for(Hello)
    health = desk.wait_for(Health)

    assert (hello.version, hello.running_slot, hello.serial) == ("5.8.1", "A", "SN-1")
    assert hello.boot_reason is BootReason.POWER_ON
    assert hello.agent_version.endswith("VX-410/5.8.1")
    assert [slot.status for slot in health.slots] == ["Active", "NoImage"]
    assert health.parameters["Device.DeviceInfo.UpTime"]
    assert health.header.seq > hello.header.seq or health.header.boot == hello.header.boot


def test_a_signed_image_is_installed_tried_and_kept(
    desk: Desk, box: Box, images: dict[str, BuiltImage]
) -> None:
    desk.wait_for(Hello)
    offer(desk, images["good"])

    verdict = desk.wait_for(Report, lambda report: report.phase.is_final)
    hello = desk.wait_for(Health, lambda health: health.version == "5.8.2")

    assert (verdict.phase, verdict.version, verdict.running_slot) == (Phase.UPDATED, "5.8.2", "B")
    assert hello.running_slot == "B"
    assert box.slot_sha256("B") == images["good"].sha256
    assert box.slot_sha256("A") == images["factory"].sha256
    assert desk.house.door.ranges == [0]


def test_an_image_whose_player_never_gets_ready_is_left_again(
    desk: Desk, box: Box, images: dict[str, BuiltImage]
) -> None:
    desk.wait_for(Hello)
    offer(desk, images["unhealthy"])

    verdict = desk.wait_for(Report, lambda report: report.phase.is_final)

    assert (verdict.phase, verdict.reason) == (Phase.ROLLED_BACK, Reason.HEALTH_CHECK)
    assert (verdict.version, verdict.running_slot) == ("5.8.1", "A")
    assert "media player" in verdict.detail


def test_a_verdict_is_said_again_until_the_server_has_counted_it(
    desk: Desk, box: Box, images: dict[str, BuiltImage]
) -> None:
    desk.wait_for(Hello)
    image = images["good"]
    desk.repository.add_target(f"{MODEL}/5.8.2.img", image.path.read_bytes(), min_version="9")
    desk.repository.publish(MODEL)
    desk.publish_trust(image.path.read_bytes())
    desk.acknowledges = False
    desk.assign(image.path.read_bytes())
    declined = desk.wait_for(Report, lambda report: report.phase is Phase.DECLINED)
    assert declined.reason is Reason.BELOW_MINIMUM_VERSION

    box.power_cut()
    desk.acknowledges = True
    box.power_on()

    assert desk.wait_for(Report) == declined


def test_a_killed_broker_takes_nothing_with_it(desk: Desk, box: Box) -> None:
    desk.wait_for(Hello)
    desk.house.kill_broker()
    desk.house.start_broker()

    assert desk.wait_for(Hello).header.boot.count == 1


def a_command(desk: Desk, verb: str, seq: int, expires_in_ms: int = HOUR_MS) -> Cmd:
    return Cmd(desk.header(), DEVICE, f"C-{seq}", seq, verb, clock.now_ms() + expires_in_ms)


def test_a_lost_question_for_a_lease_is_asked_again_as_soon_as_the_server_hears(
    desk: Desk, box: Box, images: dict[str, BuiltImage]
) -> None:
    desk.wait_for(Hello)
    desk.grants = False
    offer(desk, images["good"])
    lost = desk.wait_for(LeaseRequest)
    desk.house.kill_broker()
    desk.house.start_broker()

    again = desk.wait_for(LeaseRequest, lambda found: found.header.id != lost.header.id)

    assert again.header.at_ms - lost.header.at_ms < 45_000, "not after the minute of patience"


def test_commands_are_done_once_and_only_those_of_the_list(
    desk: Desk, box: Box, images: dict[str, BuiltImage]
) -> None:
    desk.wait_for(Hello)
    desk.publish_trust(b"")
    ping = a_command(desk, "ping", 5)
    for message in (a_command(desk, "ping", 4, -1), ping, ping, a_command(desk, "ping", 3)):
        desk.send(Down.CMD, message)
    desk.send(Down.CMD, a_command(desk, "shell", 6))

    late, first, second = (desk.wait_for(Result) for _ in range(3))

    assert (late.cmd_id, late.status, late.error) == ("C-4", ResultStatus.REFUSED, "too-late")
    assert (first.cmd_id, first.status, first.output) == ("C-5", ResultStatus.COMPLETE, "pong")
    assert (second.cmd_id, second.status) == ("C-6", ResultStatus.REFUSED)
    assert "ping, report_health" in second.output


def found_by(desk: Desk, cmd_id: str) -> dict[str, Value]:
    """Return everything that the action *cmd_id* tells until it is complete."""
    found: dict[str, Value] = {}
    while True:
        kind, data = desk.heard.get(timeout=60)
        if kind is Up.PROGRESS and (part := messages.decode(Progress, data)).cmd_id == cmd_id:
            found |= part.values
        if kind is Up.RESULT and (last := messages.decode(Result, data)).cmd_id == cmd_id:
            assert last.status is ResultStatus.COMPLETE, last
            return found | (last.values or {})


def test_actions_run_beside_the_agent_and_outlive_its_connection(desk: Desk, box: Box) -> None:
    assert "actions" in (desk.wait_for(Hello).reads or ())
    desk.publish_trust(b"")
    test = replace(a_command(desk, "self_test", 1), timeout_ms=20_000)
    desk.send(Down.CMD, test)
    assert "disk: well" in str(found_by(desk, "C-1")["Results"])

    pull: dict[str, Value] = {"file": "agent.log", "as_file": True}
    desk.send(Down.CMD, replace(a_command(desk, "log_pull", 2), arguments=pull))
    [file] = desk.wait_for(Result).files or ()
    uploaded = desk.house.door.uploads["/device/v1/uploads/C-2/log.txt"]
    assert hashlib.sha256(uploaded).hexdigest() == file.sha256
    assert b"runs 5.8.1 from slot A" in uploaded

    capture: dict[str, Value] = {"interface": "lo", "duration_s": 60}
    desk.send(Down.CMD, replace(a_command(desk, "packet_capture", 3), arguments=capture))
    desk.wait_for(Progress)
    desk.house.kill_broker()
    desk.house.start_broker()
    desk.wait_for(Hello)
    desk.send(Down.CMD, replace(a_command(desk, "cancel", 4), arguments={"cmd_id": "C-3"}))
    canceled = desk.wait_for(Result, lambda found: found.cmd_id == "C-3")
    assert canceled.status is ResultStatus.CANCELED

    [agent] = _agents_of(box)
    for number, (name, value, before) in enumerate(
        [("health_s", "86400", "2"), ("keepalive_s", "30", "60"), ("health_s", "1", "86400")],
        start=5,
    ):
        setting: dict[str, Value] = {"name": name, "value": value}
        desk.send(Down.CMD, replace(a_command(desk, "config_set", number), arguments=setting))
        assert found_by(desk, f"C-{number}")["X_OLEADA_Before"] == before
        if name == "keepalive_s":
            desk.wait_for(Hello)
    desk.wait_for(Health)
    desk.send(Down.CMD, a_command(desk, "config_get", 8))
    told = found_by(desk, "C-8")
    assert (told["health_s"], told["health_s.X_OLEADA_Changed"]) == ("1", True)
    assert _agents_of(box) == [agent], "intervals and keep-alive need no start"


def test_garbage_from_the_broker_is_told_of_and_survived(desk: Desk, box: Box) -> None:
    desk.wait_for(Hello)
    desk.publish_trust(b"")
    for kind in Down:
        desk.publish_raw(topics.down(DEVICE, kind), b"\xff{")

    assert "refused" in desk.wait_for(Log).lines[0]
    assert desk.wait_for(Health)


def test_a_killed_agent_is_started_again_in_the_same_boot(desk: Desk, box: Box) -> None:
    first = desk.wait_for(Hello)
    [agent] = _agents_of(box)

    os.kill(agent, signal.SIGKILL)

    again = desk.wait_for(Hello)
    assert again.header.boot == first.header.boot
    assert again.header.seq > first.header.seq


def test_a_box_that_can_store_nothing_goes_on_telling_how_it_is(
    desk: Desk, box: Box, images: dict[str, BuiltImage]
) -> None:
    desk.wait_for(Hello)
    box.power_off()
    blocked = [box.directory / f"data/journal.{number}.tmp" for number in (0, 1)]
    for path in blocked:
        path.mkdir()
    box.power_on()

    hello = desk.wait_for(Hello)
    assert "can not be stored" in desk.wait_for(Log).lines[0]
    offer(desk, images["good"])
    for _ in range(2):
        assert desk.wait_for(Health, lambda said: said.header.boot == hello.header.boot)

    for path in blocked:
        path.rmdir()
    box.power_cut()
    box.power_on()
    assert desk.wait_for(Report, lambda report: report.phase is Phase.UPDATED)


def _agents_of(box: Box) -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _command_line(entry).startswith(_agent_of(box))
    ]


def _command_line(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _agent_of(box: Box) -> str:
    return f"{sys.executable} {box.directory}/run/agent.pyz run"
