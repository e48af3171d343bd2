"""What the media player does for an action, and what becomes of one that is broken."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from oleada_agent.actions import player as asking
from oleada_agent.actions.order import ActionError, Order
from oleada_lab.media.daemon import serve
from oleada_lab.media.player import FAULTS, LIES, PER_SECOND, Player, picture
from oleada_wire.action_table import TABLE
from oleada_wire.actions import Needs, arguments_of, find
from oleada_wire.readings import MEDIA, field_of
from oleada_wire.words import ResultStatus

from tests.agent.actions.bench import Told
from tests.wire.test_actions import given_for

ASKED = [one for one in TABLE if one.needs is Needs.MEDIA and one.name != "factory_reset"]


@pytest.fixture
def box(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def ask(box: Path, name: str, timeout_ms: int = 20_000, **given: Any) -> Told:
    """Let the player of *box* do action *name*."""
    action = find(TABLE, name)
    assert action is not None
    order = Order(action, arguments_of(action, given), "C-1", box, {}, timeout_ms)
    told = Told()
    asking.ask(order, told)
    return told


@pytest.mark.parametrize("action", ASKED, ids=lambda one: one.name)
def test_the_player_does_each_action_of_the_table_and_tells_what_the_table_says(
    box: Path, action: Any
) -> None:
    given: dict[str, Any] = dict(given_for(action))
    with serve(box) as daemon:
        told = ask(box, action.name, **given)

    [(what, arguments)] = daemon.player.done
    assert (what, arguments) == (action.name, arguments_of(action, given))
    names = {field.name for field in action.results}
    if action.name != "media_status":
        assert set(told.values) == names
    else:
        assert len(told.values) > 40
    assert set(told.files) == set(action.files)


def test_a_screenshot_is_a_whole_picture(box: Path) -> None:
    with serve(box):
        told = ask(box, "screenshot")

    wanted = hashlib.sha256(picture(64, 36)).hexdigest()
    assert hashlib.sha256(told.files["screenshot.png"]).hexdigest() == wanted


@pytest.mark.parametrize("fault", ["drm-not-authorised", "muted", "hdmi-mode"])
def test_a_fault_is_seen_and_the_right_action_mends_it(box: Path, fault: str) -> None:
    cures: dict[str, tuple[str, dict[str, Any]]] = {
        "drm-not-authorised": ("drm_reauthorise", {}),
        "muted": ("audio_mode", {"mode": "pcm", "cancel_mute": True}),
        "hdmi-mode": ("hdmi_mode", {"mode": "auto"}),
    }
    cure = cures[fault]
    with serve(box, Player(frozenset({fault}))) as daemon:
        sick = ask(box, "media_status").values
        ask(box, cure[0], **cure[1])
        well = ask(box, "media_status").values
        assert daemon.player.faults == frozenset()

    changed = {f"Device.Services.STBService.1.{name}" for name in FAULTS[fault]}
    assert {name for name in sick if sick[name] != well[name]} & changed


def test_a_channel_that_loses_packets_shows_it(box: Path) -> None:
    with serve(box, Player(frozenset({"packet-loss", "underruns"}))):
        told = ask(box, "channel_test", duration_s=5)

    assert (told.values["RTPStats.PacketsLost"], told.values["DejitteringStats.Underruns"]) == (
        150,
        10,
    )


def test_what_the_player_refuses_is_said_in_its_words(box: Path) -> None:
    with serve(box), pytest.raises(ActionError, match="no-such-channel") as refused:
        ask(box, "tune", channel="ch-99")

    assert refused.value.status is ResultStatus.ERROR


@pytest.mark.parametrize("lie", LIES)
def test_a_player_that_lies_or_hangs_ends_the_action_in_time(box: Path, lie: str) -> None:
    with serve(box, lie=lie):
        if lie in ("nan", "wrong-kinds", "unknown-names"):
            assert ask(box, "media_status").values == {}
        elif lie == "secrets":
            assert len(ask(box, "media_status").values) == 3  # taken out where it leaves the box
        else:
            with pytest.raises(ActionError) as ended:
                ask(box, "media_status", timeout_ms=600)
            assert ended.value.status is ResultStatus.NO_RESPONSE


def test_a_model_without_a_socket_says_so(box: Path) -> None:
    with pytest.raises(ActionError, match="no socket"):
        ask(box, "media_status")


def test_every_reading_of_the_fake_player_is_one_of_the_table() -> None:
    every = frozenset({*FAULTS, *PER_SECOND})
    said = Player().status() | Player(every).status()

    strange = {name: value for name, value in said.items() if field_of(name) not in MEDIA}
    assert strange == {}
    assert all(type(value) is (field_of(name) or MEDIA[0]).kind for name, value in said.items())
