"""The sentence that opens a rollout's page: state, exception, next."""

from datetime import datetime, timedelta

from markupsafe import Markup

from oleada_server.rollouts import freezing
from oleada_server.rollouts.plan import Outcome, exact
from oleada_server.rollouts.states import RolloutState, WaveState
from oleada_server.web import words
from oleada_server.web.rollout_view import Figures, WaveFigures, until
from oleada_server.web.words import gettext, say, say_n


def of(found: Figures, now: datetime) -> Markup:
    """Return what there is to say about a rollout at *now*."""
    if found.rollout.preparing is not None:
        return _join(say("Nothing is sent yet."), _preparing(found))
    match RolloutState(found.rollout.state):
        case RolloutState.DRAFT:
            waits = say("Nothing is sent yet: this is a plan that waits for its start.")
            return _join(waits, _size(found), _sent_back(found))
        case RolloutState.AWAITING_APPROVAL:
            waits = say("Nothing is sent yet: a second person has to approve it.")
            return _join(_size(found), waits)
        case RolloutState.SCHEDULED:
            return _join(_size(found), _start(found, now), _unsigned(found))
        case RolloutState.RUNNING:
            return _join(_done(found), _limits(found), _next(found))
        case _:
            return _join(_done(found), _end(found))


def following(found: Figures, now: datetime) -> Markup:
    """Return what comes next in a rollout, in a short sentence; why, when it has ended."""
    if found.rollout.preparing is not None:
        return _preparing(found)
    match RolloutState(found.rollout.state):
        case RolloutState.DRAFT:
            return _sent_back(found) or say("It waits for its start.")
        case RolloutState.AWAITING_APPROVAL:
            return say("A second person decides.")
        case RolloutState.SCHEDULED:
            return _start(found, now)
        case RolloutState.RUNNING if found.at_work.state is WaveState.HELD:
            return say("A person has to look.")
        case RolloutState.RUNNING:
            return _next(found)
        case RolloutState.PAUSED | RolloutState.STOPPED:
            return _reason(found.rollout.state_reason)
        case _:
            return Markup("")


def _sent_back(found: Figures) -> Markup:
    if not found.rollout.state_reason:
        return Markup("")
    return _join(say("It was sent back."), _reason(found.rollout.state_reason))


def _preparing(found: Figures) -> Markup:
    progress = freezing.progress(found.rollout)
    assert progress is not None, "it is being prepared"  # noqa: S101
    return say(
        "It is being prepared: %(done)s of %(boxes)s boxes are written down.",
        done=words.number(progress.boxes),
        boxes=words.number(progress.of),
    )


def _start(found: Figures, now: datetime) -> Markup:
    at = found.rollout.start_at
    if at is None or at <= now:
        return say("It starts now.")
    return say("It starts %(moment)s.", moment=until(at))


def _end(found: Figures) -> Markup:
    reason = _reason(found.rollout.state_reason)
    match RolloutState(found.rollout.state):
        case RolloutState.PAUSED:
            text = say("It is paused: no further box begins; those at work finish.")
            return _join(text, reason)
        case RolloutState.STOPPED:
            return _join(say("It was stopped: no further box installs it."), reason)
        case RolloutState.HALTED:
            return _halt(found)
        case _:
            return say("Every wave has passed.")


def _join(*sentences: Markup) -> Markup:
    return Markup(" ").join(sentence for sentence in sentences if sentence)


def _size(found: Figures) -> Markup:
    waves = say_n("%(n)s wave", "%(n)s waves", len(found.waves))
    if not found.boxes:
        return say("A plan of %(waves)s.", waves=waves)
    return say_n(
        "<b>%(n)s box</b> in %(waves)s.", "<b>%(n)s boxes</b> in %(waves)s.", found.boxes,
        waves=waves,
    )  # fmt: skip


def _done(found: Figures) -> Markup:
    return say_n(
        "<b>%(updated)s of %(n)s box</b> runs %(version)s.",
        "<b>%(updated)s of %(n)s boxes</b> run %(version)s.",
        found.boxes,
        updated=words.number(found.updated),
        version=found.rollout.release.version,
    )


def _limits(found: Figures) -> Markup:
    wave = found.at_work
    if wave.state is WaveState.HELD:
        return _held(wave)
    if any(_is_broken(other) for other in found.waves):
        return say("A limit is broken.")
    return say("Every limit holds.") if found.judged else Markup("")


def _is_broken(figures: WaveFigures) -> bool:
    limit = exact(figures.wave.failed_share_max)
    enough = figures.judged >= figures.wave.sample_min
    return enough and figures.outcomes[Outcome.BAD] > limit * figures.judged


def _held(figures: WaveFigures) -> Markup:
    wave, silent = figures.wave, figures.outcomes[Outcome.SILENT]
    if silent > exact(wave.silent_share_max) * figures.there:
        return say(
            "Wave %(wave)s stands still: %(silent)s of %(boxes)s boxes are silent, more than "
            "%(limit)s. <b>A person has to look.</b>",
            wave=wave.position,
            silent=words.number(silent),
            boxes=words.number(figures.there),
            limit=words.percent(wave.silent_share_max),
        )
    return say(
        "Wave %(wave)s stands still: too few boxes were updated, and no other is at it. "
        "<b>A person has to look.</b>",
        wave=wave.position,
    )


def _unsigned(found: Figures) -> Markup:
    if found.unsigned is None:
        return Markup("")
    return say(
        "Wave %(wave)s opens when approvers have signed it.", wave=found.unsigned.wave.position
    )


def _next(found: Figures) -> Markup:
    if found.unsigned is not None:
        return _unsigned(found)
    figures, wave = found.at_work, found.at_work.wave
    after = found.now_index + 2
    is_last = after > len(found.waves)
    if figures.state is WaveState.SOAKING and wave.soak_from is not None:
        ends = until(wave.soak_from + timedelta(seconds=wave.soak_s))
        if is_last:
            return say("The rollout can finish %(moment)s at the earliest.", moment=ends)
        return say("Wave %(wave)s can open %(moment)s at the earliest.", wave=after, moment=ends)
    if figures.state is WaveState.OPEN:
        return say_n(
            "Wave %(wave)s waits for %(n)s more box.",
            "Wave %(wave)s waits for %(n)s more boxes.",
            figures.outcomes[Outcome.PENDING],
            wave=wave.position,
        )
    if figures.state is WaveState.PASSED and is_last:
        return say("Every wave has passed; the last boxes are finishing.")
    return Markup("")


def _halt(found: Figures) -> Markup:
    for figures in found.waves:
        if figures.state is WaveState.HALTED and figures.judged:
            return say(
                "It was halted: in wave %(wave)s <b>%(bad)s of %(judged)s</b> failed, and the "
                "limit is %(limit)s. No further box installs it.",
                wave=figures.wave.position,
                bad=words.number(figures.outcomes[Outcome.BAD]),
                judged=words.number(figures.judged),
                limit=words.percent(figures.wave.failed_share_max),
            )
    halted = say("It was halted for safety. No further box installs it.")
    return _join(halted, _reason(found.rollout.state_reason))


def _reason(text: str | None) -> Markup:
    if not text:
        return Markup("")
    return Markup("{} “{}”").format(gettext("Reason:"), text)
