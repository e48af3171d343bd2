"""Devices: written in order by what boxes say, found as people type."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.devices import service
from oleada_server.devices.errors import BadPageKeyError, DeviceNotFoundError
from oleada_server.devices.service import Contact, Filters, Page, Sort
from oleada_server.live import service as live

from tests.support.fleet import a_health, a_hello, add_device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOX = "VX417Q3K0928"


def _listed(filters: Filters, **how: object) -> Page:
    return service.list_devices(filters, now=NOON, silent_after_s=900, **how)  # type: ignore[arg-type]


def _ids(filters: Filters) -> list[str]:
    return [device.id for device in _listed(filters).devices]


def test_a_hello_says_what_the_box_runs(app: Flask) -> None:
    add_device(BOX)

    assert service.record_hello(BOX, a_hello(version="5.8.2", mac="aa-bb-cc-00-11-22"), NOON)

    box = service.get(BOX)
    assert (box.version, box.running_slot, box.mac) == ("5.8.2", "A", "AA:BB:CC:00:11:22")
    assert (box.last_seen_at, box.connected, box.zone) == (NOON, True, "Europe/Madrid")


def test_an_older_hello_that_comes_later_is_contact_and_nothing_more(app: Flask) -> None:
    add_device(BOX)
    service.record_hello(BOX, a_hello(boot=2, seq=1, version="2.0"), NOON)

    assert not service.record_hello(BOX, a_hello(boot=1, seq=9, version="1.0"), NOON + _S)

    box = service.get(BOX)
    assert (box.version, box.last_seen_at) == ("2.0", NOON + _S)


def test_a_hello_that_comes_twice_counts_once(app: Flask) -> None:
    add_device(BOX)
    hello = a_hello()

    assert service.record_hello(BOX, hello, NOON)
    assert not service.record_hello(BOX, hello, NOON)


def test_a_zone_that_does_not_exist_is_not_believed(app: Flask) -> None:
    add_device(BOX)
    service.record_hello(BOX, a_hello(zone="Mars/Olympus"), NOON)

    assert service.get(BOX).zone == "UTC"


def test_after_a_restored_backup_a_box_lifts_the_servers_assignment_number(app: Flask) -> None:
    add_device(BOX)
    service.record_hello(BOX, a_hello(seq=1, assignment_seq=41), NOON)
    service.record_hello(BOX, a_hello(seq=2, assignment_seq=7), NOON)

    assert service.get(BOX).assignment_seq == 41


def test_of_several_health_messages_the_newest_is_shown_whatever_their_order(app: Flask) -> None:
    add_device(BOX)
    items = [(BOX, a_health(seq=seq, at=NOON, uptime_s=seq)) for seq in (3, 5, 4)]

    service.record_health(items, NOON)
    service.record_health([(BOX, a_health(seq=2, at=NOON, uptime_s=2))], NOON + _S)

    box = service.get(BOX)
    assert box.health == {"Device.DeviceInfo.UpTime": 5}
    assert (box.seq, box.last_seen_at) == (5, NOON + _S)


def test_the_age_of_health_is_the_boxs_unless_its_clock_is_dead(app: Flask) -> None:
    add_device(BOX)
    service.record_health([(BOX, a_health(seq=1, at=NOON - timedelta(hours=3)))], NOON)
    assert service.get(BOX).health_at == NOON - timedelta(hours=3)
    db.session.commit()

    service.record_health([(BOX, a_health(seq=2, at=datetime(1970, 1, 2, tzinfo=UTC)))], NOON)
    db.session.expire_all()
    assert service.get(BOX).health_at == NOON


def test_dropped_messages_are_shown_among_the_parameters(app: Flask) -> None:
    add_device(BOX)
    service.record_health([(BOX, replace(a_health(seq=1), dropped=4))], NOON)

    assert (service.get(BOX).health or {})[service.DROPPED] == 4


def test_what_boxes_say_is_announced_once_a_transaction(app: Flask) -> None:
    add_device(BOX)
    service.record_hello(BOX, a_hello(seq=1), NOON)
    service.record_health([(BOX, a_health(seq=2))], NOON)
    db.session.commit()

    assert [c.object_ref for c in live.changes_since(0)] == [f"device:{BOX}", "devices"]


def test_a_box_that_is_not_enrolled_is_not_made_by_what_it_says(app: Flask) -> None:
    service.record_hello(BOX, a_hello(), NOON)
    service.record_health([(BOX, a_health())], NOON)

    with pytest.raises(DeviceNotFoundError, match=BOX):
        service.get(BOX)
    assert service.known([BOX]) == set()


@pytest.mark.parametrize(
    "typed", ["VX41-7Q3K-0928", "vx417q3ko928", "0928", "o928", "sn-4i", "AA:BB:CC", "aabb.cc00"]
)
def test_a_box_is_found_as_people_type_it(app: Flask, typed: str) -> None:
    add_device(BOX, serial="SN-41-0007")
    add_device("VX999999999Z", serial="SN-99-0008")
    service.record_hello(BOX, a_hello(mac="AA:BB:CC:00:11:22"), NOON)

    assert _ids(Filters(text=typed)) == [BOX]


@pytest.mark.parametrize("typed", ["%", "_", "' OR 1=1 --", "\\"])
def test_signs_of_sql_find_nothing(app: Flask, typed: str) -> None:
    add_device(BOX)

    assert _ids(Filters(text=typed)) == []


def test_silent_seen_and_never_heard_are_three_things(app: Flask) -> None:
    for number, seen in enumerate([NOON, NOON - timedelta(hours=1), None]):
        add_device(f"VX00000000{number}0", last_seen_at=seen)

    assert _ids(Filters(contact=Contact.SEEN)) == ["VX0000000000"]
    assert _ids(Filters(contact=Contact.SILENT)) == ["VX0000000010"]
    assert _ids(Filters(contact=Contact.NEVER)) == ["VX0000000020"]


def test_filters_narrow_together_and_the_total_is_exact(app: Flask) -> None:
    for number in range(9):
        model = "VX-410" if number % 3 else "VX-240"
        add_device(f"VX00000000{number}0", model=model, version=f"1.{number % 2}")

    page = _listed(Filters(models=("VX-410",), versions=("1.1",)), limit=2)

    assert (page.total, len(page.devices)) == (3, 2)
    assert service.model_counts() == {"VX-240": 3, "VX-410": 6}
    assert service.version_counts("VX-410") == {"1.0": 3, "1.1": 3}


@pytest.mark.parametrize("sort", list(Sort))
def test_every_page_follows_the_last_and_nothing_is_shown_twice(app: Flask, sort: Sort) -> None:
    for number in range(25):
        seen = None if number % 5 == 0 else NOON - timedelta(minutes=number % 7)
        add_device(f"VX0000000{number:02d}0", last_seen_at=seen, version=f"1.{number % 3}")
    found: list[str] = []
    key: str | None = None

    while True:
        page = _listed(Filters(), after=key, limit=4, sort=sort)
        found += [device.id for device in page.devices]
        assert page.total == 25
        if (key := page.next_key) is None:
            break

    everything = _listed(Filters(), limit=100, sort=sort)
    assert found == [device.id for device in everything.devices]
    assert len(set(found)) == 25


@pytest.mark.parametrize("key", ["", "nonsense", "W10", "WyJpZCIsMSwyXQ", "é"])
def test_a_page_key_that_was_not_made_here_is_refused(app: Flask, key: str) -> None:
    with pytest.raises(BadPageKeyError):
        _listed(Filters(), after=key)


def test_a_page_key_of_another_order_is_refused(app: Flask) -> None:
    for number in range(3):
        add_device(f"VX00000000{number}0")
    key = _listed(Filters(), limit=1).next_key

    with pytest.raises(BadPageKeyError):
        _listed(Filters(), after=key, sort=Sort.SEEN)


def test_a_clock_beyond_reason_is_taken_for_now(app: Flask) -> None:
    add_device(BOX)
    health = a_health(seq=1)
    mad = replace(health, header=replace(health.header, at_ms=2**62))

    service.record_health([(BOX, mad)], NOON)

    assert service.get(BOX).health_at == NOON
    assert to_ms(NOON) > 0


_S = timedelta(seconds=1)


def test_a_hello_that_health_has_overtaken_still_says_what_only_it_says(app: Flask) -> None:
    add_device(BOX)
    service.record_health([(BOX, a_health(seq=2, version="2.0.0"))], NOON)

    assert service.record_hello(BOX, a_hello(seq=1, version="1.0.0", provides=("p",)), NOON)
    db.session.commit()

    found = service.get(BOX)
    assert (found.version, found.seq) == ("2.0.0", 2)
    assert (found.provides, found.security_version) == (["p"], 1)


def test_health_that_a_hello_has_overtaken_still_says_how_the_box_is(app: Flask) -> None:
    add_device(BOX)
    service.record_hello(BOX, a_hello(seq=2, version="2.0.0"), NOON)

    service.record_health([(BOX, a_health(seq=1, version="1.0.0", uptime_s=7))], NOON)
    db.session.commit()

    found = service.get(BOX)
    assert (found.version, found.seq) == ("2.0.0", 2)
    assert found.health == {"Device.DeviceInfo.UpTime": 7}
