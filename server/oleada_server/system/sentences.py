"""The sentences for what is the matter: what it is, what is still true, what to do.

One text for pages, ``oleada doctor`` and the log. A page hands its own way of writing,
in the reader's language and zone; without one it is plain English in UTC.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from oleada_server.system.judge import Code, Condition


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a reader writes.

    Attributes:
        gettext: Returns a message in their language with its named parts put in.
        moment: Writes an aware time.
        size: Writes a number of bytes.
        seconds: Writes a number of seconds.
    """

    gettext: Callable[..., str]
    moment: Callable[[datetime], str]
    size: Callable[[int], str]
    seconds: Callable[[int], str]


class Said(NamedTuple):
    """A condition in words: a headline, and what is still true or what to do."""

    title: str
    text: str


def _plain(message: str, **parts: object) -> str:
    return message % parts if parts else message


def _plain_seconds(seconds: int) -> str:
    return f"{seconds} s" if abs(seconds) < 120 else f"{round(seconds / 60)} min"


ENGLISH = Spelling(
    _plain,
    lambda at: f"{at:%Y-%m-%d %H:%M} UTC",
    lambda size_bytes: f"{size_bytes / 1e6:.0f} MB",
    _plain_seconds,
)


def said(found: Condition, spell: Spelling = ENGLISH) -> Said:
    """Return *found* in words."""
    if found.code in (Code.BROKER_RULES, Code.SPLIT_VIEW):
        return _of_rules(found, spell)
    if found.code in _FRONTS:
        return _of_front(found, spell)
    if found.code in _EXPIRIES:
        return _of_expiry(found, spell)
    if found.code in _PLACES:
        return _of_place(found, spell)
    return _of_process(found, spell)


_EXPIRIES = frozenset(
    {
        Code.CERTIFICATE_EXPIRED,
        Code.CERTIFICATE_ENDS,
        Code.METADATA_EXPIRED,
        Code.METADATA_ENDS,
        Code.BOXES_EXPIRED,
    }
)
_FRONTS = frozenset({Code.DOOR_OTHER, Code.DOOR_BLIND, Code.DOOR_AWAY})
_PLACES = frozenset({Code.DISK_FULL, Code.DISK_LOW, Code.BROKER_STORE})


def _of_rules(found: Condition, spell: Spelling) -> Said:
    gettext = spell.gettext
    if found.code is Code.SPLIT_VIEW:
        return Said(
            gettext("Box %(name)s was shown another audit trail than this server's",
                    name=found.about),
            gettext("This server's key has signed it: somebody else has the key, or a copy of "
                    "the server runs. Boxes that saw it: %(n)s. See the foreign heads of the "
                    "audit trail, or type: oleada audit sightings",
                    n=found.number),
        )  # fmt: skip
    return Said(
        gettext("The broker's configuration is not Oleada's"),
        gettext("It differs in: %(what)s. Boxes may be able to do what they must not. Type: oleada "
                "init, and start the broker again.", what=found.about),
    )  # fmt: skip


def _of_front(found: Condition, spell: Spelling) -> Said:
    gettext = spell.gettext
    match found.code:
        case Code.DOOR_OTHER:
            return Said(
                gettext("TLS ends before the device door: %(where)s shows another certificate",
                        where=found.about),
                gettext("Boxes refuse it. Whatever is in front has to pass the connection "
                        "through (TCP), or the name leads elsewhere."),
            )  # fmt: skip
        case Code.DOOR_BLIND:
            return Said(
                gettext("TLS ends before the device door: nobody at %(where)s looks at "
                        "certificates of boxes", where=found.about),
                gettext("Boxes can not say who they are and renew nothing. Whatever is in front "
                        "has to pass the connection through (TCP); the door's key is the door's "
                        "alone."),
            )  # fmt: skip
        case _:
            return Said(
                gettext("The device door does not answer at %(where)s", where=found.about),
                gettext("It answers on this machine. Boxes may not reach it either, unless this "
                        "network does not lead its own machines to its public name."),
            )  # fmt: skip


def _of_place(found: Condition, spell: Spelling) -> Said:
    gettext = spell.gettext
    if found.code is Code.BROKER_STORE:
        return Said(
            gettext(
                "The broker has not written its store for %(span)s",
                span=spell.seconds(found.number),
            ),
            gettext("Its disk may be full. It goes on from memory, and after a restart the "
                    "worker fills it again from the database."),
        )  # fmt: skip
    free = spell.size(found.number)
    if found.code is Code.DISK_FULL:
        return Said(
            gettext("The disk of %(path)s is full", path=found.about),
            gettext("%(free)s are free. Nothing is published until there is room; what boxes "
                    "say waits in the broker.", free=free),
        )  # fmt: skip
    return Said(
        gettext("The disk of %(path)s is nearly full", path=found.about),
        gettext("%(free)s are free. Make room before it is full.", free=free),
    )


def _of_expiry(found: Condition, spell: Spelling) -> Said:
    gettext = spell.gettext
    when = spell.moment(found.at) if found.at is not None else ""
    match found.code:
        case Code.CERTIFICATE_EXPIRED:
            title = gettext("Certificate %(name)s has expired", name=found.about)
            text = gettext("Since %(when)s. Boxes do not trust what it proves. Type: oleada init",
                           when=when)  # fmt: skip
        case Code.CERTIFICATE_ENDS:
            title = gettext("Certificate %(name)s ends soon", name=found.about)
            text = gettext("At %(when)s. It is renewed when the server starts. Type: oleada init",
                           when=when)  # fmt: skip
        case Code.METADATA_EXPIRED:
            title = gettext("Signed metadata %(name)s has expired", name=found.about)
            text = gettext("Since %(when)s. Boxes start no update until it is signed anew.",
                           when=when)  # fmt: skip
        case Code.METADATA_ENDS:
            title = gettext("Signed metadata %(name)s ends within %(days)s days",
                            name=found.about, days=found.number)  # fmt: skip
            text = gettext("At %(when)s. Its signers have to sign it anew before.", when=when)
        case _:
            title = gettext("%(n)s boxes have a certificate that has expired", n=found.number)
            text = gettext("They go on as they are, and get the next one by themselves when they "
                           "reach the device door.")  # fmt: skip
    return Said(title, text)


def _of_process(found: Condition, spell: Spelling) -> Said:
    gettext = spell.gettext
    span = spell.seconds(abs(found.number))
    match found.code:
        case Code.DATABASE_AWAY:
            title = gettext("The database does not answer")
            text = gettext("Boxes go on as they are; the broker keeps what they say.")
        case Code.DATABASE_SLOW:
            title = gettext("The database is slow")
            text = gettext("It took %(ms)s ms to say that it is there.", ms=found.number)
        case Code.WORKER_SILENT:
            title = gettext("The worker is silent for %(span)s", span=span)
            text = gettext("What boxes say waits in the broker; pages show what was known then.")
        case Code.SCHEDULER_SILENT:
            title = gettext("The scheduler is silent for %(span)s", span=span)
            text = gettext("No wave opens and no limit halts a rollout until it is back.")
        case Code.BROKER_AWAY:
            title = gettext("The broker does not answer")
            text = gettext("Boxes go on as they are and keep what they have to say.")
        case _ if found.number > 0:
            title = gettext("The clock of %(name)s is %(span)s ahead", name=found.about, span=span)
            text = gettext("Oleada goes by the database's clock. Set that machine's right.")
        case _:
            title = gettext("The clock of %(name)s is %(span)s behind", name=found.about,
                            span=span)  # fmt: skip
            text = gettext("Oleada goes by the database's clock. Set that machine's right.")
    return Said(title, text)
