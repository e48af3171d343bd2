"""Server and box check the arguments of an action by one table."""

import re
from typing import Any

import pytest
from oleada_wire import actions
from oleada_wire.action_table import AGENT, BY_ASSIGNMENT, TABLE
from oleada_wire.actions import Action, Argument, Consent, Risk, Value, arguments_of, timeout_ms_of
from oleada_wire.codec import STRING_CHARS_MAX
from oleada_wire.errors import BadArgumentError
from oleada_wire.readings import READINGS, field_of
from oleada_wire.words import ResultStatus

SOME = {
    "host": "192.0.2.1", "url": "https://example.net/1", "name": "health_s", "value": "60",
    "keys": "UP OK", "channel": "ch-1", "mode": "", "text": "hello", "cmd_id": "C-1",
}  # fmt: skip


def given_for(action: Action) -> dict[str, Value]:
    """Return good values for what must be given."""
    needed = [one for one in action.arguments if one.default is None]
    return {one.name: one.words[0] if one.words else SOME[one.name] for one in needed}


def wrong_values(argument: Argument) -> list[object]:
    """Return values that *argument* must not take."""
    wrong: list[object] = [None, [], {}, 1.5]
    if argument.kind is int:
        return [*wrong, True, "1", argument.least - 1, argument.most + 1]
    if argument.kind is bool:
        return [*wrong, 0, "true"]
    text: list[object] = [1, "a\0b", "a\nb", "x" * 1_100]
    return [*wrong, *text, *(["; reboot"] if argument.pattern or argument.words else [])]


def test_every_action_has_a_name_of_its_own() -> None:
    names = [action.name for action in TABLE]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]{3,20}", name) for name in names)
    assert not set(names) & set(BY_ASSIGNMENT)


@pytest.mark.parametrize("action", TABLE, ids=lambda action: action.name)
def test_defaults_are_within_their_own_limits(action: Action) -> None:
    found = arguments_of(action, given_for(action))

    assert arguments_of(action, found) == found
    assert set(found) == {one.name for one in action.arguments}
    assert action.timeout_ms <= action.timeout_ms_max
    assert len(action.files) <= actions.FILES_MAX
    assert set(action.errors) <= set(ResultStatus)


@pytest.mark.parametrize(
    ("action", "argument"),
    [(action, argument) for action in TABLE for argument in action.arguments],
    ids=lambda one: one.name,
)
def test_an_argument_out_of_its_limits_is_named(action: Action, argument: Argument) -> None:
    good = given_for(action)
    for wrong in wrong_values(argument):
        given: dict[str, Any] = {**good, argument.name: wrong}
        if wrong is None and argument.default is not None:
            given[argument.name] = object()
        with pytest.raises(BadArgumentError) as refused:
            arguments_of(action, given)
        assert refused.value.argument == argument.name


@pytest.mark.parametrize("action", TABLE, ids=lambda action: action.name)
def test_an_argument_that_nobody_knows_is_refused(action: Action) -> None:
    with pytest.raises(BadArgumentError, match="'shell': it is unknown"):
        arguments_of(action, {**given_for(action), "shell": "rm"})


def test_what_is_asked_of_time_is_cut_to_the_action_s_own_limit() -> None:
    [action] = [one for one in TABLE if one.name == "ip_ping"]

    assert timeout_ms_of(action, None) == action.timeout_ms
    assert timeout_ms_of(action, 10**9) == action.timeout_ms_max
    assert timeout_ms_of(action, -5) == 100


def test_whatever_shows_or_destroys_needs_consent() -> None:
    grave = {one.name: one.consent for one in TABLE if one.risk is Risk.DESTROYS}
    shows = {one.name: one.consent for one in TABLE if "screenshot.png" in one.files}

    assert set(grave.values()) == {Consent.TWO_PEOPLE_OR_PIN}
    assert set(shows.values()) == {Consent.VIEWER}
    assert all(one.is_safe_while_watching for one in AGENT)


def test_every_text_fits_into_a_message() -> None:
    texts = [one for action in TABLE for one in action.arguments if one.kind is str]

    assert max(one.most for one in texts) <= STRING_CHARS_MAX


def test_readings_are_found_by_their_path() -> None:
    assert len({field.name for field in READINGS}) == len(READINGS)
    found = field_of("Device.DeviceInfo.TemperatureStatus.TemperatureSensor.3.Value")
    assert found is not None
    assert (found.kind, found.unit) == (int, "°C")
    assert field_of("Device.DeviceInfo.TemperatureStatus.Secret") is None
