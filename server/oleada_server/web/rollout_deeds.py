"""What a person does with a rollout: which deeds are open, what they ask, what they say.

A reason is kept in the audit trail. A stop that concerns boxes also wants their number
typed, as it was when the question was opened, because it can not be taken back.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from markupsafe import Markup

from oleada_server.errors import BadInputError
from oleada_server.releases import service as releases
from oleada_server.rollouts import approvals, service
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import IN_FLIGHT, PENDING, BoxState, RolloutState
from oleada_server.web import words
from oleada_server.web.rollout_view import Figures, title
from oleada_server.web.words import gettext, say, say_n

BEFORE_START = frozenset({RolloutState.DRAFT, RolloutState.AWAITING_APPROVAL})


class Deed(StrEnum):
    """What can be done with a rollout from its page."""

    START = "start"
    ASK = "ask"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class Scope(StrEnum):
    """How far a stop goes."""

    ROLLOUT = "rollout"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Typed:
    """What was sent with a deed; *count* is what the question had counted when it opened."""

    reason: str = ""
    confirm: str = ""
    count: str = ""
    scope: str = Scope.ROLLOUT


@dataclass(frozen=True, slots=True)
class Question:
    """A deed before consent: the question, its consequences, and the two buttons.

    Attributes:
        reason: The label of the reason; empty if none is asked for.
        confirm: What is to be typed; empty if nothing is.
        scopes: (value, what it does, how many it concerns), the gentlest first.
        note: What stands beside the buttons.
    """

    deed: Deed
    title: Markup
    consequences: list[Markup]
    yes: str
    no: str
    reason: str = ""
    confirm: str = ""
    scopes: tuple[tuple[Scope, str, Markup], ...] = ()
    note: str = ""


def open_deeds(rollout: Rollout) -> list[Deed]:
    """Return the deeds that its state allows, the usual one first, danger last."""
    match RolloutState(rollout.state):
        case RolloutState.DRAFT:
            return [Deed.ASK if approvals.is_needed(rollout) else Deed.START, Deed.STOP]
        case RolloutState.SCHEDULED | RolloutState.AWAITING_APPROVAL:
            return [Deed.STOP]
        case RolloutState.RUNNING:
            return [Deed.PAUSE, Deed.STOP]
        case RolloutState.PAUSED:
            return [Deed.RESUME, Deed.STOP]
        case _:
            return []


def question(deed: Deed, found: Figures) -> Question | None:
    """Return the question behind *deed*, None if its state does not allow it or it asks none."""
    asked = {Deed.START: _start, Deed.ASK: _ask, Deed.PAUSE: _pause, Deed.STOP: _stop}
    if deed not in asked or deed not in open_deeds(found.rollout):
        return None
    return asked[deed](found)


def check(deed: Deed, rollout: Rollout, typed: Typed) -> None:
    """Accept the form of *deed*, or say what is missing.

    Raises:
        BadInputError: No reason, an unknown scope, or the number was not typed.
    """
    if deed in {Deed.PAUSE, Deed.STOP} and not typed.reason:
        raise BadInputError(gettext("A reason is missing; the audit trail keeps it."), "reason")
    if deed is Deed.ASK and not typed.reason:
        raise BadInputError(gettext("A remark is missing; the approver reads it."), "reason")
    if deed is not Deed.STOP or rollout.state in BEFORE_START:
        return
    if typed.scope not in set(Scope):
        raise BadInputError(gettext("Choose what should happen."), "scope")
    wanted = typed.count if _digits(typed.count) else f"R-{rollout.id}"
    if _digits(typed.confirm) != _digits(wanted):
        raise BadInputError(
            gettext("Type %(wanted)s to confirm; you wrote “%(typed)s”.", wanted=wanted,
                    typed=typed.confirm[:20]),
            "confirm",
        )  # fmt: skip


def do(deed: Deed, rollout: Rollout, typed: Typed, *, actor: str, now: datetime) -> None:
    """Do *deed*.

    Raises:
        RolloutStateError: Its state does not allow it; somebody was faster.
        ApprovalMissingError: It needs a second person.
    """
    rollout_id, reason = rollout.id, typed.reason
    match deed:
        case Deed.START:
            service.start(rollout_id, actor=actor, now=now, reason=reason or None)
        case Deed.ASK:
            service.ask_approval(rollout_id, reason, actor=actor, now=now)
        case Deed.PAUSE:
            service.pause(rollout_id, reason, actor=actor, now=now)
        case Deed.RESUME:
            service.resume(rollout_id, actor=actor, now=now, reason=reason or None)
        case Deed.STOP if typed.scope == Scope.RELEASE:
            release = rollout.release
            releases.withdraw(release.hardware_model, release.version, reason, actor, now)
        case Deed.STOP:
            service.stop(rollout_id, reason, actor=actor, now=now)
        case _:
            assert_never(deed)


def done(deed: Deed, rollout_id: int) -> str:
    """Return what to say after *deed*."""
    ref = f"R-{rollout_id}"
    match deed:
        case Deed.START:
            return gettext("Rollout %(ref)s has started.", ref=ref)
        case Deed.ASK:
            return gettext("Rollout %(ref)s awaits approval by a second person.", ref=ref)
        case Deed.PAUSE:
            return gettext("Rollout %(ref)s is paused. Boxes at work finish.", ref=ref)
        case Deed.RESUME:
            return gettext("Rollout %(ref)s goes on.", ref=ref)
        case Deed.STOP:
            return gettext("Rollout %(ref)s is stopped.", ref=ref)
        case _:
            assert_never(deed)


def opposite(deed: Deed) -> Deed | None:
    """Return the deed that takes *deed* back, None if nothing does (ADR 0012)."""
    return {Deed.PAUSE: Deed.RESUME, Deed.RESUME: Deed.PAUSE}.get(deed)


def _start(found: Figures) -> Question:
    rollout = found.rollout
    first = found.waves[0]
    at = rollout.start_at
    return Question(
        Deed.START,
        say("Start R-%(id)s, %(title)s?", id=rollout.id, title=title(rollout)),
        [
            say("<b>At %(moment)s:</b> wave 1 opens.", moment=words.moment(at))
            if at is not None
            else say("<b>Now:</b> wave 1 opens."),
            say_n(
                "<b>Wave 1:</b> %(n)s box is told to install %(version)s.",
                "<b>Wave 1:</b> %(n)s boxes are told to install %(version)s.",
                first.boxes,
                version=rollout.release.version,
            ),
            say("<b>After that:</b> each next wave opens by itself when its gate holds."),
            say("<b>Frozen:</b> which box is in which wave is decided now."),
        ],
        gettext("Start the rollout"),
        gettext("Not yet"),
    )


def _ask(found: Figures) -> Question:
    rollout = found.rollout
    return Question(
        Deed.ASK,
        say("Ask for approval of R-%(id)s, %(title)s?", id=rollout.id, title=title(rollout)),
        [
            say("<b>Now:</b> whoever has the role Approver sees it and your remark."),
            say("<b>Who decides:</b> not you, and not who planned it."),
            say("<b>Nothing is sent</b> before it is approved."),
        ],
        gettext("Ask for approval"),
        gettext("Not yet"),
        reason=gettext("Remark for the approver"),
    )


def _pause(found: Figures) -> Question:
    at_work = _count(found, IN_FLIGHT)
    return Question(
        Deed.PAUSE,
        say("Pause R-%(id)s?", id=found.rollout.id),
        [
            say("<b>Now:</b> no further box begins."),
            say_n(
                "<b>At work:</b> %(n)s box finishes what it has begun.",
                "<b>At work:</b> %(n)s boxes finish what they have begun.",
                at_work,
            ),
            say("<b>Way back:</b> resume at any time; the pause counts as nobody's silence."),
        ],
        gettext("Pause the rollout"),
        gettext("Keep it running"),
        reason=gettext("Reason, for the audit trail"),
    )


def _stop(found: Figures) -> Question:
    rollout = found.rollout
    if rollout.state in BEFORE_START:
        return Question(
            Deed.STOP,
            say("Give up the plan R-%(id)s, %(title)s?", id=rollout.id, title=title(rollout)),
            [
                say("<b>Not touched:</b> no box was told of it."),
                say("<b>No way back:</b> the plan stays to be read; plan a new one from it."),
            ],
            gettext("Give up the plan"),
            gettext("Keep the plan"),
            reason=gettext("Reason, for the audit trail"),
        )
    count = _count(found, PENDING)
    version, model = rollout.release.version, rollout.release.hardware_model
    return Question(
        Deed.STOP,
        say_n(
            "Stop R-%(id)s, so that %(n)s box does not get %(version)s?",
            "Stop R-%(id)s, so that %(n)s boxes do not get %(version)s?",
            count,
            id=rollout.id,
            version=version,
        ),
        _consequences(found),
        say_n("Stop, %(n)s box stays as it is", "Stop, %(n)s boxes stay as they are", count),
        gettext("Keep it running"),
        reason=gettext("Reason, for the audit trail"),
        confirm=str(count) if count else f"R-{rollout.id}",
        scopes=(
            (
                Scope.ROLLOUT,
                gettext("Stop this rollout, take back what is assigned"),
                say_n("%(n)s box", "%(n)s boxes", count),
            ),
            (
                Scope.RELEASE,
                gettext("Stop it and withdraw %(version)s for good", version=version),
                say("every %(model)s refuses it, its other rollouts stop too", model=model),
            ),
        ),
        note=gettext("This can not be undone. To hold it for a while, pause it."),
    )


def _consequences(found: Figures) -> list[Markup]:
    """Return what a stop means to each group of boxes; the groups add up to all."""
    waiting, at_work = _count(found, PENDING - IN_FLIGHT), _count(found, IN_FLIGHT)
    rest = found.boxes - waiting - at_work - found.updated
    lines = [
        say_n(
            "<b>Now:</b> %(n)s box that waits will not install it.",
            "<b>Now:</b> %(n)s boxes that wait will not install it.",
            waiting,
        ),
        say_n(
            "<b>At work:</b> %(n)s box gives up, or finishes if it has restarted already.",
            "<b>At work:</b> %(n)s boxes give up, or finish if they have restarted already.",
            at_work,
        ),
        say_n(
            "<b>Not touched:</b> %(n)s box stays on %(version)s; none is taken back.",
            "<b>Not touched:</b> %(n)s boxes stay on %(version)s; none is taken back.",
            found.updated,
            version=found.rollout.release.version,
        ),
    ]
    if rest:
        lines.append(
            say_n(
                "<b>Did not get it:</b> %(n)s box failed, declined or fell silent, and stays so.",
                "<b>Did not get it:</b> %(n)s boxes failed, declined or fell silent, and stay so.",
                rest,
            )
        )
    return [*lines, say("<b>No way back:</b> a stopped rollout can not be resumed.")]


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and letter.isdigit())


def _count(found: Figures, states: AbstractSet[BoxState]) -> int:
    return sum(wave.states[state] for wave in found.waves for state in states)
