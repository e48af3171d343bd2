"""What waits for a person: an approval, or a wave that is held; who may decide, who not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from markupsafe import Markup

from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import Identity
from oleada_server.rollouts import approvals
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.plan import Outcome, exact
from oleada_server.rollouts.states import RolloutState, WaveState
from oleada_server.web import activity, signing_view, status, words
from oleada_server.web.rollout_view import Figures, WaveFigures, title
from oleada_server.web.signing_view import Need
from oleada_server.web.words import gettext, say, say_n

APPROVAL: Final = "approval"
HOLD: Final = "hold"


@dataclass(frozen=True, slots=True)
class Decision:
    """The question that stands open on a rollout's page.

    Attributes:
        kind: ``approval`` or ``hold``.
        facts: What the person should know first.
        position: Of the wave that is held.
        lock: Why this person can not decide; empty if they can.
        may_take_back: Whether they asked and may withdraw the question.
    """

    kind: str
    title: Markup
    facts: list[Markup]
    lock: str
    position: int = 0
    may_take_back: bool = False


def of(found: Figures, person: Identity, now: datetime) -> Decision | None:
    """Return what waits for a decision about a rollout, None if nothing does."""
    rollout = found.rollout
    if rollout.state == RolloutState.AWAITING_APPROVAL:
        return _approval(found, person, now)
    held = next((wave for wave in found.waves if wave.state is WaveState.HELD), None)
    if held is not None and rollout.state == RolloutState.RUNNING:
        return _hold(rollout, held, person)
    return None


def need(rollout: Rollout, person: Identity) -> Need | None:
    """Return the line of *rollout* under *Needs you*, None if it waits for nobody here."""
    ref, what = f"R-{rollout.id}", title(rollout)
    match RolloutState(rollout.state):
        case RolloutState.AWAITING_APPROVAL:
            asked = _quoted(rollout.ask_remark)
            by = activity.actor(rollout.asked_by or "")
            text = gettext("%(who)s asks: %(remark)s", who=by, remark=asked)
            heading = say("Approve %(ref)s, %(what)s", ref=ref, what=what)
            return Need(rollout, heading, text, not _lock(rollout, person))
        case RolloutState.DRAFT if rollout.asked_by is not None:
            heading = say("%(ref)s was sent back, %(what)s", ref=ref, what=what)
            is_yours = person.actor in {rollout.asked_by, rollout.created_by}
            return Need(rollout, heading, _quoted(rollout.state_reason), is_yours)
        case RolloutState.RUNNING:
            held = next((w for w in rollout.waves if w.state == WaveState.HELD), None)
            if held is None:
                return signing_view.need(rollout, person)
            heading = say("Wave %(n)s of %(ref)s is held, %(what)s",
                          n=held.position, ref=ref, what=what)  # fmt: skip
            text = gettext("It goes on or stops when a person decides.")
            return Need(rollout, heading, text, not _lock(rollout, person))
        case _:
            return None


def _approval(found: Figures, person: Identity, now: datetime) -> Decision:
    rollout, first = found.rollout, found.waves[0]
    asked_by = activity.actor(rollout.asked_by or "")
    later = rollout.start_at is not None and rollout.start_at > now
    facts = [
        say("<b>Asked</b> by %(who)s, %(moment)s: %(remark)s", who=asked_by,
            moment=words.moment(rollout.asked_at or now), remark=_quoted(rollout.ask_remark)),
        say_n("<b>Covers</b> %(n)s box as the fleet is now, in %(waves)s waves.",
              "<b>Covers</b> %(n)s boxes as the fleet is now, in %(waves)s waves.",
              found.boxes, waves=words.number(len(found.waves))),
        say_n("<b>When approved:</b> wave 1 opens for %(n)s box%(when)s; which box is in which "
              "wave is fixed then.",
              "<b>When approved:</b> wave 1 opens for %(n)s boxes%(when)s; which box is in which "
              "wave is fixed then.",
              first.boxes,
              when=f", {words.moment(rollout.start_at)}" if later and rollout.start_at else ""),
    ]  # fmt: skip
    return Decision(
        APPROVAL,
        say("Let %(ref)s, %(what)s, begin?", ref=f"R-{rollout.id}", what=title(rollout)),
        facts,
        _lock(rollout, person),
        may_take_back=person.actor in {rollout.asked_by, rollout.created_by},
    )


def _hold(rollout: Rollout, held: WaveFigures, person: Identity) -> Decision:
    silent, good = held.outcomes[Outcome.SILENT], held.updated
    wave = held.wave
    facts = []
    if silent > exact(wave.silent_share_max) * held.there:
        facts.append(
            say_n("<b>Silent:</b> %(n)s box of %(boxes)s, more than %(limit)s.",
                  "<b>Silent:</b> %(n)s boxes of %(boxes)s, more than %(limit)s.",
                  silent, boxes=words.number(held.there),
                  limit=words.percent(wave.silent_share_max))
        )  # fmt: skip
    reachable = held.there - silent
    if not held.outcomes[Outcome.PENDING] and good < exact(wave.success_share_min) * reachable:
        facts.append(
            say("<b>Updated:</b> %(good)s of %(reachable)s that were heard, fewer than %(limit)s, "
                "and no other is at it.", good=words.number(good),
                reachable=words.number(reachable), limit=words.percent(wave.success_share_min))
        )  # fmt: skip
    facts += [
        say("<b>If it goes on:</b> the wave soaks and passes with these numbers; worse ones hold "
            "it again, and a failure above the limit halts as ever."),
        say("<b>If you wait:</b> late reports end the hold by themselves."),
    ]  # fmt: skip
    lock = _lock(rollout, person)
    if not lock and not good:
        lock = gettext("No box of the wave runs the release yet: retry boxes, or stop.")
    return Decision(
        HOLD,
        say("Wave %(n)s is held: let it go on?", n=wave.position),
        facts,
        lock,
        position=wave.position,
    )


def _lock(rollout: Rollout, person: Identity) -> str:
    """Return why *person* can not decide about *rollout*, empty if they can."""
    if not person.may(Role.APPROVER):
        role = status.role(Role.APPROVER)
        return gettext("Deciding needs the role %(role)s; you have %(own)s.",
                       role=role, own=status.role(person.role))  # fmt: skip
    wants_second = rollout.state == RolloutState.AWAITING_APPROVAL or approvals.is_needed(rollout)
    if wants_second and not approvals.may_decide(rollout, person.actor):
        return gettext("You planned it or asked for it, so another approver decides.")
    return ""


def _quoted(text: str | None) -> str:
    return f"“{text}”" if text else ""
