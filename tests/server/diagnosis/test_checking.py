"""Checks that begin by themselves take their place among what people order."""

from datetime import timedelta

import pytest
from oleada_server.actions import service
from oleada_server.diagnosis import checking

from tests.server.actions.orders import BOX, NOON, a_box, a_person, ordered


@pytest.mark.usefixtures("sqlite_app")
def test_checks_for_which_no_room_is_left_are_no_error_of_who_looks() -> None:
    a_box()
    for _ in range(service.WAITING_MAX - 1):
        ordered("report_health")

    begun = checking.begin(BOX, ["media_status", "self_test"], "complaint", a_person(), NOON)

    assert [one.action for one in begun] == ["media_status"]
    later = NOON + timedelta(seconds=1)
    assert checking.begin(BOX, ["self_test"], "complaint", a_person(), later) == []
