"""A broker that answers late is not taken for one that has lost its memory."""

import pytest
from oleada_server.messaging.memory import Memory, judge


@pytest.mark.parametrize("is_echoed", [True, False])
@pytest.mark.parametrize(("wanted", "canary"), [(7, 7), (0, None), (0, 0)])
def test_a_broker_that_holds_the_canary_has_lost_nothing(
    wanted: int, canary: int | None, is_echoed: bool
) -> None:
    assert judge(wanted, canary, is_echoed=is_echoed) is Memory.WHOLE


@pytest.mark.parametrize("canary", [None, 6])
def test_what_has_not_come_may_be_on_its_way_until_the_echo_is_there(canary: int | None) -> None:
    assert judge(7, canary, is_echoed=False) is Memory.UNKNOWN


@pytest.mark.parametrize(
    ("wanted", "canary"),
    [(7, None), (7, 6), (7, 8), (0, 8)],
    ids=["no canary", "an older one", "a newer one, of a database put back", "of another server"],
)
def test_what_has_not_come_before_the_echo_is_lost(wanted: int, canary: int | None) -> None:
    assert judge(wanted, canary, is_echoed=True) is Memory.LOST
