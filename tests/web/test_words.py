"""Numbers and times as each reader writes them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, g
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity
from oleada_server.web import words

NOON = datetime(2026, 11, 19, 9, 42, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
NB = "\u00a0"


@pytest.fixture
def reader(empty_app: Flask) -> Iterator[Flask]:
    with empty_app.test_request_context("/"):
        yield empty_app


def reads(language: str, zone: str = "Europe/Prague") -> None:
    g.identity = Identity(1, "ana", "Ana", Role.VIEWER, language, zone)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("language", "number", "share", "moment"),
    [
        ("en", "46,931", f"97.3{NB}%", "Thu 19 Nov, 10:42"),
        ("es", "46.931", f"97,3{NB}%", "jue 19 nov, 10:42"),
        ("cs", f"46{NB}931", f"97,3{NB}%", "čt 19. 11., 10:42"),
    ],
)
def test_each_language_has_its_own_numbers_and_days(
    language: str, number: str, share: str, moment: str
) -> None:
    reads(language)

    assert words.number(46931) == number
    assert words.percent(0.973) == share
    assert words.moment(NOON) == moment


@pytest.mark.usefixtures("reader")
def test_a_time_stands_in_the_readers_zone_and_the_zone_is_printed() -> None:
    reads("en", "America/Mexico_City")

    assert words.full_moment(NOON) == "Thu 19 Nov 2026, 03:42:07 Mexico City"


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("passed", "says"),
    [
        (timedelta(seconds=-3), "0 s ago"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (23 * HOUR, "23 h ago"),
        (24 * HOUR, "Thu 19 Nov, 09:42"),
    ],
)
def test_an_age_is_relative_for_a_day_and_then_absolute(passed: timedelta, says: str) -> None:
    reads("en", "UTC")

    assert words.age(NOON, NOON + passed) == says


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("span", "says"),
    [
        (timedelta(0), f"0{NB}s"),
        (timedelta(seconds=90), f"1{NB}min{NB}30"),
        (timedelta(hours=17, minutes=52), f"17{NB}h{NB}52"),
        (timedelta(hours=48), f"48{NB}h"),
        (timedelta(days=6, hours=16), f"6{NB}d 16{NB}h"),
    ],
)
def test_a_span_has_two_units_at_most(span: timedelta, says: str) -> None:
    reads("en")

    assert words.duration(span) == says


@pytest.mark.usefixtures("reader")
def test_a_share_above_none_never_reads_as_none() -> None:
    reads("en")

    assert words.percent(0.00001) == f"<{NB}0.1{NB}%"
    assert words.percent(0) == f"0{NB}%"


@pytest.mark.usefixtures("reader")
def test_parts_of_a_sentence_are_escaped_and_the_sentence_is_not() -> None:
    reads("es")

    found = words.say("Signed in as <b>%(name)s</b>, %(role)s.", name="<i>x</i>", role="r")

    assert found == "Sesión de <b>&lt;i&gt;x&lt;/i&gt;</b>, r."


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(("count", "says"), [(1, "1 box"), (3, "3 boxy"), (5, "5 boxů")])
def test_czech_counts_in_three_ways(count: int, says: str) -> None:
    reads("cs")

    assert words.say_n("%(n)s box", "%(n)s boxes", count) == says
