"""The strip on top of every page: what of the server itself needs a person.

Looked at seldom and kept for a moment, because every page asks. Whoever is not signed in
is told nothing.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Final

from flask import current_app, g, url_for
from sqlalchemy.exc import SQLAlchemyError

from oleada_server import config
from oleada_server.clock import monotonic_s, now_utc
from oleada_server.system import facts, judge, sentences, service
from oleada_server.system.sentences import Said, Spelling
from oleada_server.web import words

FRESH_S: Final = 15.0
"""A page may be so much behind; a process is called silent after a minute."""


@dataclass(slots=True)
class _Kept:
    """What was found last, and when by the steady clock."""

    at_s: float
    found: list[judge.Condition]


_LOCK: Final = Lock()


@dataclass(frozen=True, slots=True)
class Notice:
    """A condition as a page shows it; *kind* is shape and colour, *href* more about it."""

    kind: str
    said: Said
    href: str = ""


def notices() -> list[Notice]:
    """Return what every page says of the server now; empty when all is well."""
    if g.get("identity") is None:
        return []
    spell = spelling()
    return [Notice(one.kind, sentences.said(one, spell), _href(one)) for one in _conditions()]


def forget() -> None:
    """Look anew for the next page: a person has just cleared something up."""
    with _LOCK:
        current_app.extensions.pop("oleada_conditions", None)


def _href(condition: judge.Condition) -> str:
    is_split = condition.code is judge.Code.SPLIT_VIEW
    return url_for("sighting_pages.index") if is_split else ""


def look() -> list[judge.Condition]:
    """Return what needs a person now; ends the session's transaction."""
    with suppress(SQLAlchemyError):  # gather says what it means
        service.follow_database_clock()
    now = now_utc()
    return judge.judge(facts.gather(config.current(), now), now)


def spelling() -> Spelling:
    """Return how the reader writes."""
    return Spelling(
        words.gettext,
        words.full_moment,
        words.size,
        _span,
    )


def _span(seconds: int) -> str:
    """Return *seconds* as people say them: minutes from two on."""
    whole = seconds if seconds < 120 else round(seconds / 60) * 60
    return words.duration(timedelta(seconds=whole))


def _conditions() -> list[judge.Condition]:
    held = current_app.extensions
    with _LOCK:  # one page looks, the others take what is there
        kept: _Kept | None = held.get("oleada_conditions")
        now_s = monotonic_s()
        if kept is not None and now_s - kept.at_s < FRESH_S:
            return kept.found
        held["oleada_conditions"] = _Kept(now_s, kept.found if kept else [])
    with current_app.app_context():  # a session of its own: the page is in the middle of one
        found = look()
    held["oleada_conditions"] = _Kept(now_s, found)
    return found
