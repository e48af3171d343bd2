"""Texts, numbers and times in the reader's language and zone.

A sentence is one message with named parts, so that a translator may reorder them. Parts
are escaped, because a part may come from a box; only the message itself may have markup.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from gettext import NullTranslations
from typing import cast
from zoneinfo import ZoneInfo

from babel import Locale, dates, numbers
from flask import g, has_request_context, request
from flask_babel import get_domain, get_locale
from markupsafe import Markup

from oleada_server.accounts.rights import Identity
from oleada_server.accounts.service import LANGUAGES
from oleada_server.accounts.views import LANGUAGE_COOKIE

LANGUAGE_NAMES = {"en": "English", "es": "Español", "cs": "Čeština"}
NO_BREAK = "\u00a0"
_DAY_PATTERN = {"en": "EEE d MMM", "es": "EEE d MMM", "cs": "EEE d. M."}


def gettext(message: str, **parts: object) -> str:
    """Return *message* in the reader's language; for text that is not markup."""
    found = translations().gettext(message)
    return found % parts if parts else found


def say(message: str, **parts: object) -> Markup:
    """Return *message* in the reader's language with its named parts escaped."""
    return Markup(gettext(message)) % parts  # noqa: S704 - messages are ours, parts are escaped


def say_n(one: str, many: str, count: int, **parts: object) -> Markup:
    """Return the form of the message for *count*; ``%(n)s`` is the count, written out."""
    found = translations().ngettext(one, many, count)
    return Markup(found) % {"n": number(count), **parts}  # noqa: S704 - as in say


def translations() -> NullTranslations:
    """Return the catalogue of the reader, looked up once a request: a page asks 500 times."""
    if not has_request_context():
        return cast(NullTranslations, get_domain().get_translations())
    if "oleada_translations" not in g:
        g.oleada_translations = get_domain().get_translations()
    return cast(NullTranslations, g.oleada_translations)


def choose_language() -> str:
    """Return the language of the answer: of the person, the browser's choice, or English."""
    if not has_request_context():
        return "en"
    found: Identity | None = g.get("identity")
    if found is not None:
        return found.language
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(LANGUAGES) or "en"


def choose_zone() -> str:
    """Return the name of the zone that times are shown in: the person's, or UTC."""
    found: Identity | None = g.get("identity") if has_request_context() else None
    return found.zone if found is not None else "UTC"


def zone_name() -> str:
    """Return the zone for printing beside a time: ``Prague``, ``UTC``."""
    name = choose_zone()
    return "UTC" if name == "UTC" else name.rpartition("/")[2].replace("_", " ")


def number(value: float) -> str:
    """Return *value* as the reader writes numbers: ``46,931``, ``46 931``."""
    return _number(value, _locale().language) if isinstance(value, int) else _written(value)


@lru_cache(maxsize=4096)
def _number(value: int, language: str) -> str:
    return numbers.format_decimal(value, locale=language)


def _written(value: float) -> str:
    return numbers.format_decimal(value, locale=_locale())


def percent(share: float, digits: int = 1) -> str:
    """Return *share*, 0 to 1, as ``97.3 %``; a share above none never reads as 0."""
    value = share * 100
    step = 10**-digits
    if 0 < value < step:
        return f"<{NO_BREAK}{numbers.format_decimal(step, locale=_locale())}{NO_BREAK}%"
    pattern = "#,##0." + "#" * digits
    return numbers.format_decimal(value, format=pattern, locale=_locale()) + NO_BREAK + "%"


def size(size_bytes: int) -> str:
    """Return *size_bytes* in the unit that people use: ``212 MB``; 1 MB is 10^6 bytes."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    digits = 1 if value < 10 and unit != "B" else 0
    return _rounded(round(value, digits), _locale().language) + NO_BREAK + unit


@lru_cache(maxsize=4096)
def _rounded(value: float, language: str) -> str:
    return numbers.format_decimal(value, format="#,##0.#", locale=language)


def clock(at: datetime) -> str:
    """Return the time of day of *at*: ``10:42``."""
    return f"{at.astimezone(_zone()):%H:%M}"


def clock_s(at: datetime) -> str:
    """Return the time of day of *at* with seconds: ``10:42:07``."""
    return f"{at.astimezone(_zone()):%H:%M:%S}"


def day(at: datetime) -> str:
    """Return the day of *at*: ``Thu 19 Nov``."""
    return _day(at.astimezone(_zone()).date(), _locale().language)


def on_day(on: date) -> str:
    """Return a day of a calendar with its year: ``Sun 28 Mar 2027``."""
    return f"{_day(on, _locale().language)} {on.year}"


@lru_cache(maxsize=1024)
def _day(on: date, language: str) -> str:
    return dates.format_date(on, _DAY_PATTERN.get(language, _DAY_PATTERN["en"]), locale=language)


def midnight(at: datetime) -> datetime:
    """Return the beginning of the day of *at* in the reader's zone."""
    return at.astimezone(_zone()).replace(hour=0, minute=0, second=0, microsecond=0)


def moment(at: datetime) -> str:
    """Return day and time of *at*: ``Thu 19 Nov, 10:42``."""
    return f"{day(at)}, {clock(at)}"


def tick(at: datetime) -> str:
    """Return *at* for an axis: the time, at midnight with its day: ``Thu 00:00``."""
    local = at.astimezone(_zone())
    if (local.hour, local.minute) != (0, 0):
        return f"{local:%H:%M}"
    named = dates.format_date(local.date(), "EEE", locale=_locale())
    return f"{named} {local:%H:%M}"


def full_moment(at: datetime) -> str:
    """Return *at* to the second, with its zone printed; for tooltips."""
    local = at.astimezone(_zone())
    named = _day(local.date(), _locale().language)
    return f"{named} {local.year}, {local:%H:%M:%S} {zone_name()}"


def age(at: datetime, now: datetime) -> str:
    """Return how long ago *at* was: ``12 s``, ``3 min``, ``5 h``, else the day and time."""
    passed = max(now - at, timedelta(0))
    if passed < timedelta(minutes=1):
        return gettext("%(n)s s ago", n=number(int(passed.total_seconds())))
    if passed < timedelta(hours=1):
        return gettext("%(n)s min ago", n=number(int(passed.total_seconds() // 60)))
    if passed < timedelta(days=1):
        return gettext("%(n)s h ago", n=number(int(passed.total_seconds() // 3600)))
    return moment(at)


def duration(span: timedelta) -> str:
    """Return *span* in the two largest units: ``6 d 16 h``, ``17 h 52``, ``40 s``.

    Days begin after three, so that a soak of two days still reads ``48 h``.
    """
    total_s = max(0, int(span.total_seconds()))
    if total_s < 60:
        return f"{number(total_s)}{NO_BREAK}s"
    if total_s < 3600:
        minutes, seconds = divmod(total_s, 60)
        tail = f"{NO_BREAK}{seconds:02}" if seconds else ""
        return f"{minutes}{NO_BREAK}min{tail}"
    hours, rest_s = divmod(total_s, 3600)
    if hours > 72:
        days, hours = divmod(hours, 24)
        tail = f" {hours}{NO_BREAK}h" if hours else ""
        return f"{number(days)}{NO_BREAK}d{tail}"
    tail = f"{NO_BREAK}{rest_s // 60:02}" if rest_s >= 60 else ""
    return f"{number(hours)}{NO_BREAK}h{tail}"


@dataclass(frozen=True, slots=True)
class _Reader:
    """How the reader of this request writes; looked up once, for a page asks 500 times."""

    locale: Locale
    zone: ZoneInfo


def _reader() -> _Reader:
    if not has_request_context():
        return _Reader(get_locale() or Locale("en"), ZoneInfo(choose_zone()))
    found: _Reader | None = g.get("oleada_reader")
    if found is None:
        found = g.oleada_reader = _Reader(get_locale() or Locale("en"), ZoneInfo(choose_zone()))
    return found


def _locale() -> Locale:
    return _reader().locale


def _zone() -> ZoneInfo:
    return _reader().zone
