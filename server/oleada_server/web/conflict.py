"""What others did to a thing while somebody looked at a form of it.

A form carries the number of the newest entry of the audit trail about its thing; every
change of state is an entry there, whoever made it. So "what has changed since you opened
this" is read, not guessed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from flask import request

from oleada_server.audit import service as audit
from oleada_server.web import activity, words
from oleada_server.web.device_list import number_in

CHANGES_MAX = 5


@dataclass(frozen=True, slots=True)
class Changed:
    """One change that somebody made meanwhile: *who* did *what*, and why."""

    who: str
    what: str
    reason: str
    at: datetime
    age: str


def since(object_ref: str, seen: int, now: datetime, only: Collection[str] = ()) -> list[Changed]:
    """Return what was done to *object_ref* after entry *seen*, newest first.

    *only* names the deeds that matter to the form; all do if it is empty.
    """
    return [
        Changed(
            who=activity.actor(event.actor),
            what=activity.deed_word(event.action),
            reason=event.reason or "",
            at=event.at,
            age=words.age(event.at, now),
        )
        for event in audit.events_about(object_ref, CHANGES_MAX)
        if event.id > seen and (not only or event.action in only)
    ]


def sent(object_ref: str, now: datetime, only: Collection[str] = ()) -> list[Changed]:
    """Return what others did since the form that was sent was opened.

    A form that does not say what it had seen, such as one of a program, has missed nothing.
    """
    seen = number_in(request.form.get("seen", ""))
    return [] if seen is None else since(object_ref, seen, now, only)
