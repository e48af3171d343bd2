"""The words of a diagnosis as frozen values: facts, signs, causes, playbooks, verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

Value = bool | int | float | str


class Stage(IntEnum):
    """In which order causes are believed: no hardware is blamed for what everybody has."""

    SCOPE = 1
    ENTITLEMENT = 2
    HOME = 3


class Operator(StrEnum):
    """How a sign compares its fact with its limit."""

    IS = "is"
    IS_NOT = "is_not"
    BELOW = "below"
    ABOVE = "above"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known: *value*, and when it was so by the server's clock."""

    value: Value
    at: datetime


Facts = Mapping[str, Fact]
"""By name: a TR-181 path as the box reports it, ``hour:<path>`` for how much a counter rose
in the last hour, ``result:<action>:<field>``, ``asked:<question>``, ``server:<name>``."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that is seen, or is seen not to be, in one fact.

    Attributes:
        id: Its name in every playbook.
        fact: Name of the fact that it looks at.
        operator: How it compares.
        limits: One number for below and above; the words or truth values for is and is_not.
        unit: Of the limit, as TR-181 has it; empty for a word.
        source: Where the limit comes from, for people.
        title: What is seen, in English (a gettext key).
        fresh: How old the fact may be; an older one is no evidence.
        check: Name of the action whose result gives the fact; empty if none does.
        asks: Question to the subscriber or the desk that gives it (a gettext key), or empty.
    """

    id: str
    fact: str
    operator: Operator
    limits: tuple[Value, ...]
    unit: str
    source: str
    title: str
    fresh: timedelta
    check: str = ""
    asks: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """What may be wrong.

    Attributes:
        id: Its name.
        stage: When it is believed, see :class:`Stage`.
        title: What is wrong, in English; this and the next two are gettext keys.
        next_step: What to do now.
        say: What to tell the subscriber.
        action: Name of the action that mends it; empty if none does.
        makes: By sign: the chance that this cause alone makes the sign visible.
    """

    id: str
    stage: Stage
    title: str
    next_step: str
    say: str
    action: str
    makes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Playbook:
    """What may be behind one symptom.

    Attributes:
        symptom: Its name, such as ``no-picture``.
        version: Counts up with every change of what it says.
        title: The symptom in English (a gettext key).
        priors: By cause: how often it is behind this complaint, before anything is looked at.
        signs: What is looked at, in order of the book: every sign of its causes.
    """

    symptom: str
    version: int
    title: str
    priors: Mapping[str, float]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Library:
    """Every playbook and what they share; *background* is the chance of a sign by itself."""

    signs: Mapping[str, Sign]
    causes: Mapping[str, Cause]
    playbooks: Mapping[str, Playbook]
    background: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """A sign that was looked at: whether it *holds*, and the *fact* it was read from."""

    sign: Sign
    holds: bool
    fact: Fact


@dataclass(frozen=True, slots=True)
class Ranked:
    """A cause with its *confidence* (0 to 1), and the signs that speak for and against it."""

    cause: Cause
    confidence: float
    speaks_for: tuple[Seen, ...]
    speaks_against: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """What to look at next: a *sign* whose fact is missing or old.

    *gain_bits* is how much it is expected to tell, in bits.
    """

    sign: Sign
    gain_bits: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is most likely wrong.

    Attributes:
        symptom: Whose playbook it is.
        version: Of the playbook.
        at: For when it was decided.
        causes: The most likely first; a cause of an earlier stage that is likely stands first.
        found: How many of *causes*, from the first, are likely enough to act on.
        nothing: Confidence that none of the playbook's causes is there, from 0 to 1.
        seen: Every sign that was looked at.
        checks: What to look at next, the most telling of the earliest stage first.
    """

    symptom: str
    version: int
    at: datetime
    causes: tuple[Ranked, ...]
    found: int
    nothing: float
    seen: tuple[Seen, ...]
    checks: tuple[Check, ...]

    @property
    def likely(self) -> tuple[Ranked, ...]:
        """Return the causes that are likely enough to act on."""
        return self.causes[: self.found]
