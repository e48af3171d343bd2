"""What needs a person is decided from facts, and each finding has its words."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from oleada_server.system import sentences
from oleada_server.system.judge import (
    Code,
    Condition,
    Disk,
    Expiry,
    Facts,
    Process,
    judge,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WORKER = Process("worker 1", "worker", silent_s=5, ahead_s=0, has_broker=True)
SCHEDULER = Process("scheduler 7", "scheduler", silent_s=5, ahead_s=0)
WELL = Facts(
    database_ms=1.0,
    disks=(Disk("var/oleada", 10_000),),
    disk_full_bytes=100,
    disk_low_bytes=1_000,
    processes=(WORKER, SCHEDULER),
    certificates=(Expiry("door", NOON + 400 * DAY), Expiry("service-ca", NOON + 3_000 * DAY, True)),
    metadata=(Expiry("timestamp", NOON + DAY, is_online=True), Expiry("root", NOON + 200 * DAY)),
    store_age_s=30,
)


def codes(facts: Facts) -> list[Code]:
    return [condition.code for condition in judge(facts, NOON)]


def test_a_server_that_is_well_says_nothing() -> None:
    assert judge(WELL, NOON) == []


def test_a_database_that_is_away_is_said_and_nobody_is_called_silent_for_it() -> None:
    gone = replace(WELL, database_ms=None, processes=())

    assert codes(gone) == [Code.DATABASE_AWAY]


@pytest.mark.parametrize(
    ("free_bytes", "expected"),
    [(1_000, []), (999, [Code.DISK_LOW]), (100, [Code.DISK_LOW]), (99, [Code.DISK_FULL])],
)
def test_a_disk_is_told_of_before_it_is_full(free_bytes: int, expected: list[Code]) -> None:
    assert codes(replace(WELL, disks=(Disk("var/oleada", free_bytes),))) == expected


@pytest.mark.parametrize(
    ("process", "code"),
    [(WORKER, Code.WORKER_SILENT), (SCHEDULER, Code.SCHEDULER_SILENT)],
)
def test_a_role_that_nobody_fills_any_more_is_told(process: Process, code: Code) -> None:
    asleep = replace(process, silent_s=61)
    others = tuple(one for one in WELL.processes if one is not process)

    assert codes(replace(WELL, processes=(*others, asleep))) == [code]
    second = replace(process, name="another")
    assert codes(replace(WELL, processes=(*others, asleep, second))) == []
    assert codes(replace(WELL, processes=others)) == [], "one that never was is not missed"


def test_a_broker_is_away_when_no_worker_that_lives_reaches_it() -> None:
    cut_off = replace(WORKER, has_broker=False)

    assert codes(replace(WELL, processes=(cut_off, SCHEDULER))) == [Code.BROKER_AWAY]
    assert codes(replace(WELL, processes=(cut_off, replace(WORKER, name="2"), SCHEDULER))) == []


def test_a_broker_that_can_not_write_its_store_is_told() -> None:
    assert codes(replace(WELL, store_age_s=301)) == [Code.BROKER_STORE]
    assert codes(replace(WELL, store_age_s=None)) == [], "a new one has not written any yet"


@pytest.mark.parametrize("ahead_s", [300, -300])
def test_a_clock_that_is_five_minutes_off_is_named_with_its_direction(ahead_s: float) -> None:
    (found,) = judge(replace(WELL, processes=(replace(WORKER, ahead_s=ahead_s), SCHEDULER)), NOON)

    assert (found.code, found.about, found.number) == (Code.CLOCK_APART, "worker 1", ahead_s)
    title = sentences.said(found).title
    assert title == f"The clock of worker 1 is 5 min {'ahead' if ahead_s > 0 else 'behind'}"


@pytest.mark.parametrize(
    ("left", "expected"),
    [(31 * DAY, []), (29 * DAY, [Code.CERTIFICATE_ENDS]), (0 * DAY, [Code.CERTIFICATE_EXPIRED])],
)
def test_a_certificate_is_told_of_a_month_before_it_ends(
    left: timedelta, expected: list[Code]
) -> None:
    assert codes(replace(WELL, certificates=(Expiry("door", NOON + left),))) == expected


def test_an_authority_is_told_of_a_year_before_it_ends() -> None:
    ends = (Expiry("service-ca", NOON + 364 * DAY, is_authority=True),)

    assert codes(replace(WELL, certificates=ends)) == [Code.CERTIFICATE_ENDS]


def test_what_the_scheduler_signs_is_told_only_when_it_has_not() -> None:
    fresh = (Expiry("timestamp", NOON + DAY, is_online=True),)
    stale = (Expiry("timestamp", NOON, is_online=True),)

    assert codes(replace(WELL, metadata=fresh)) == []
    assert codes(replace(WELL, metadata=stale)) == [Code.METADATA_EXPIRED]
    assert codes(replace(WELL, metadata=(Expiry("root", NOON + DAY),))) == [Code.METADATA_ENDS]


@pytest.mark.parametrize(
    ("left_days", "told_days"), [(91, None), (89, 90), (29, 30), (8, 30), (6, 7), (0.5, 7)]
)
def test_people_who_sign_offline_are_told_90_and_30_and_7_days_before(
    left_days: float, told_days: int | None
) -> None:
    ends = replace(WELL, metadata=(Expiry("VX-410", NOON + left_days * DAY),))

    found = [(one.code, one.number) for one in judge(ends, NOON)]

    assert found == ([] if told_days is None else [(Code.METADATA_ENDS, told_days)])


def test_approvers_are_told_ten_and_three_days_before_a_signed_wave_ends() -> None:
    def told(left_days: int) -> list[int]:
        wave = Expiry("R-7 wave 2", NOON + left_days * DAY, is_wave=True)
        return [one.number for one in judge(replace(WELL, metadata=(wave,)), NOON)]

    assert [told(11), told(9), told(2)] == [[], [10], [3]]
    over = replace(WELL, metadata=(Expiry("R-7 wave 2", NOON, is_wave=True),))
    assert codes(over) == [Code.METADATA_EXPIRED]


def test_what_is_broken_comes_first() -> None:
    found = judge(
        replace(WELL, disks=(Disk("var/oleada", 500),), store_age_s=999, boxes_expired=2), NOON
    )

    assert [one.kind for one in found] == ["bad", "bad", "warn"]


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize("number", [-300, 300])
def test_every_condition_has_a_headline_and_what_to_do(code: Code, number: int) -> None:
    title, text = sentences.said(Condition(code, "bad", "a place", NOON, number))

    assert re.fullmatch(r"[A-Z0-9-][^%]*[^.]", title)
    assert re.fullmatch(r"[^%]{20,}", text)
