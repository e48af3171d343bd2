"""What a person does with a rollout: which deeds are open, what they ask, what they say.

A reason is kept in the audit trail; a stop also wants the rollout's number typed,
because it can not be taken back.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from markupsafe import Markup

from oleada_server.errors import BadInputError
from oleada_server.rollouts import service
from oleada_server.rollouts.states import IN_FLIGHT, PENDING, BoxState, RolloutState
from oleada_server.web import words
from oleada_server.web.rollout_view import Figures, title
from oleada_server.web.words import gettext, say, say_n


class Deed(StrEnum):
    """What can be done with a rollout from its page."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Question:
    """A deed before consent: the question, its consequences, and the two buttons."""

    deed: Deed
    title: Markup
    consequences: list[Markup]
    yes: str
    no: str
    wants_reason: bool
    confirm: str


def open_deeds(state: str) -> list[Deed]:
    """Return the deeds that *state* allows, the usual one first, danger last."""
    match RolloutState(state):
        case RolloutState.DRAFT:
            return [Deed.START, Deed.STOP]
        case RolloutState.SCHEDULED:
            return [Deed.STOP]
        case RolloutState.RUNNING:
            return [Deed.PAUSE, Deed.STOP]
        case RolloutState.PAUSED:
            return [Deed.RESUME, Deed.STOP]
        case _:
            return []


def questions(found: Figures) -> list[Question]:
    """Return the questions behind the deeds that are open; to resume needs none."""
    asked = {Deed.START: _start, Deed.PAUSE: _pause, Deed.STOP: _stop}
    return [asked[deed](found) for deed in open_deeds(found.rollout.state) if deed in asked]


def check(deed: Deed, rollout_id: int, reason: str, confirm: str) -> None:
    """Accept the form of *deed*, or say what is missing.

    Raises:
        BadInputError: No reason, or the number was not typed.
    """
    if deed in {Deed.PAUSE, Deed.STOP} and not reason:
        raise BadInputError(gettext("A reason is missing; the audit trail keeps it."), "reason")
    if deed is Deed.STOP and confirm.strip().upper().removeprefix("R-") != str(rollout_id):
        raise BadInputError(
            gettext("Type %(ref)s to confirm; you wrote “%(typed)s”.", ref=f"R-{rollout_id}",
                    typed=confirm[:20]),
            "confirm",
        )  # fmt: skip


def do(deed: Deed, rollout_id: int, reason: str, *, actor: str, now: datetime) -> None:
    """Do *deed*.

    Raises:
        RolloutNotFoundError: There is no such rollout.
        RolloutStateError: Its state does not allow it; somebody was faster.
    """
    match deed:
        case Deed.START:
            service.start(rollout_id, actor=actor, now=now, reason=reason or None)
        case Deed.PAUSE:
            service.pause(rollout_id, reason, actor=actor, now=now)
        case Deed.RESUME:
            service.resume(rollout_id, actor=actor, now=now, reason=reason or None)
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
        case Deed.PAUSE:
            return gettext("Rollout %(ref)s is paused. Boxes at work finish.", ref=ref)
        case Deed.RESUME:
            return gettext("Rollout %(ref)s goes on.", ref=ref)
        case Deed.STOP:
            return gettext("Rollout %(ref)s is stopped.", ref=ref)
        case _:
            assert_never(deed)


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
        wants_reason=False,
        confirm="",
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
        wants_reason=True,
        confirm="",
    )


def _stop(found: Figures) -> Question:
    rollout, waiting = found.rollout, _count(found, PENDING - IN_FLIGHT)
    return Question(
        Deed.STOP,
        say("Stop R-%(id)s, %(title)s?", id=rollout.id, title=title(rollout)),
        [
            say_n(
                "<b>Now:</b> %(n)s box that waits will not install it.",
                "<b>Now:</b> %(n)s boxes that wait will not install it.",
                waiting,
            ),
            say_n(
                "<b>At work:</b> %(n)s box gives up, or finishes if it has restarted already.",
                "<b>At work:</b> %(n)s boxes give up, or finish if they have restarted already.",
                _count(found, IN_FLIGHT),
            ),
            say_n(
                "<b>Not touched:</b> %(n)s box stays on %(version)s.",
                "<b>Not touched:</b> %(n)s boxes stay on %(version)s.",
                found.updated,
                version=rollout.release.version,
            ),
            say("<b>No way back:</b> a stopped rollout can not be resumed; plan a new one."),
        ],
        gettext("Stop the rollout"),
        gettext("Keep it running")
        if rollout.state != RolloutState.DRAFT
        else gettext("Keep the plan"),
        wants_reason=True,
        confirm=f"R-{rollout.id}",
    )


def _count(found: Figures, states: AbstractSet[BoxState]) -> int:
    return sum(wave.states[state] for wave in found.waves for state in states)
