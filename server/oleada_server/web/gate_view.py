"""The checks of a gate: what was measured, what the limit is, and from how many boxes.

The page says what the planner judges (``rollouts/plan.py``) and judges nothing itself;
a test holds the two together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from markupsafe import Markup

from oleada_server.rollouts.evidence import control, judge
from oleada_server.rollouts.evidence.history import Now
from oleada_server.rollouts.evidence.slow_start import DOUBTFUL
from oleada_server.rollouts.plan import Outcome, exact
from oleada_server.rollouts.states import WaveState
from oleada_server.web import status, words
from oleada_server.web.chart import Bullet, bullet
from oleada_server.web.evidence_view import spell
from oleada_server.web.rollout_view import Figures, WaveFigures
from oleada_server.web.words import gettext, say, say_n

FILLS = {"ok": "f-ok", "live": "f-live", "bad": "f-bad", "warn": "f-warn", "off": "f-off"}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the gate: *kind* ok holds, live not yet, bad broken, off not begun."""

    kind: str
    name: str
    limit: str
    value: str
    bar: Bullet


def checks(figures: WaveFigures, now: datetime, judged: Now | None = None) -> list[Check]:
    """Return the checks of the gate behind the wave *figures*, in the order they matter.

    *judged* is what the evidence says; None where limits alone count, or none is there yet.
    """
    return [
        _updated(figures),
        _sample(figures),
        *([] if judged is None else _judged(figures, judged)),
        _failed(figures),
        _silent(figures),
        _soak(figures, now),
    ]


def next_step(found: Figures) -> Markup:
    """Return what happens behind the gate of the wave that is at work."""
    figures = found.at_work
    if found.is_over:
        return say("The rollout has ended; this gate opens no more.")
    limit = words.percent(figures.wave.failed_share_max)
    harm = say("If more than %(limit)s fail, the rollout halts at once and every assignment is "
               "taken back. Silence is never taken for success.", limit=limit)  # fmt: skip
    after = found.now_index + 1
    if after >= len(found.waves):
        return Markup(" ").join((say("When all hold, the rollout is finished."), harm))
    opens = say_n(
        "When all hold, wave %(wave)s opens by itself for %(n)s box.",
        "When all hold, wave %(wave)s opens by itself for %(n)s boxes.",
        found.waves[after].boxes,
        wave=after + 1,
    )
    return Markup(" ").join((opens, harm))


def _judged(figures: WaveFigures, found: Now) -> list[Check]:
    """Return what the evidence must say before the gate opens: nothing against it, and enough."""
    total, verdict, wall = found.evidence.total, found.verdict, found.evidence.wall
    if not total.begun:
        kind = "off"
    elif verdict.log_e >= wall or verdict.asks:
        kind = "bad"
    else:
        kind = "live" if verdict.log_e >= DOUBTFUL else "ok"
    limit = gettext("halts at %(wall)s", wall=spell(wall))
    if verdict.asks:
        limit = gettext("a person has to look at %(n)s silent boxes",
                        n=words.number(total.alone_silent))  # fmt: skip
    against = Check(
        kind,
        gettext("Evidence against it"),
        str(say_n("%(limit)s; %(n)s box began", "%(limit)s; %(n)s boxes began", total.begun,
                  limit=limit)),
        gettext("E %(e)s", e=spell(verdict.log_e)),
        bullet(max(verdict.log_e, 0.0), wall, max(wall * 1.25, verdict.log_e), FILLS[kind]),
    )  # fmt: skip
    return [against, *_hours(found), _proof(figures, found)]


def _hours(found: Now) -> list[Check]:
    """Return what the hours after the update must not say, beside those of boxes that wait."""
    hours, log_e, wall = found.evidence.hours, found.verdict.log_e_beside, found.evidence.wall
    if hours is None:
        return []
    heard = [one.hour for one in control.by_kind(hours, judge.TOLERATED) if one.hour.updated]
    kind, text = "off", gettext("no hour is over yet")
    if heard:
        worst = heard[0]
        kind = "bad" if log_e >= wall else "live" if log_e >= DOUBTFUL else "ok"
        text = gettext(
            "%(what)s: %(bad)s in %(hours)s hours, %(usual)s in %(beside)s beside",
            what=status.trouble(worst.kind), bad=words.number(worst.updated_bad),
            hours=words.number(worst.updated), usual=words.number(worst.control_bad),
            beside=words.number(worst.control),
        )  # fmt: skip
    return [
        Check(
            kind,
            gettext("Hours beside boxes that wait"),
            text,
            gettext("E %(e)s", e=spell(log_e)),
            bullet(max(log_e, 0.0), wall, max(wall * 1.25, log_e), FILLS[kind]),
        )
    ]


def _proof(figures: WaveFigures, found: Now) -> Check:
    total, terms = found.evidence.total, found.evidence.terms
    accepted = figures.wave.good_accepted is not None
    kind = "ok" if found.is_proven or accepted else "live" if total.begun else "off"
    limit = gettext("%(bad)s bad; at most %(share)s is proven by %(n)s good ones and none bad",
                    bad=words.number(total.bad + total.silent),
                    share=words.percent(terms.bad_share_max),
                    n=words.number(found.sample_needed))  # fmt: skip
    if accepted:
        limit = gettext("%(limit)s; a person has accepted fewer", limit=limit)
    needed = found.sample_needed
    return Check(
        kind,
        gettext("Proof by ripe trials"),
        limit,
        gettext("%(n)s good", n=words.number(total.good)),
        bullet(total.good, needed, max(needed, total.good) * 1.25, FILLS[kind]),
    )  # fmt: skip


def _updated(figures: WaveFigures) -> Check:
    needed = figures.wave.success_share_min
    reachable = figures.there - figures.outcomes[Outcome.SILENT]
    share = figures.updated / reachable if reachable else 0
    enough = exact(needed) * reachable
    if figures.wave.good_accepted is not None and not figures.outcomes[Outcome.PENDING]:
        enough = min(enough, Fraction(figures.wave.good_accepted))
    holds = figures.updated > 0 and figures.updated >= enough
    kind = "ok" if holds else _not_yet(figures)
    return Check(
        kind,
        gettext("Boxes updated"),
        gettext("at least %(limit)s of those heard", limit=words.percent(needed)),
        words.percent(share),
        bullet(share, needed, 1, FILLS[kind]),
    )


def _sample(figures: WaveFigures) -> Check:
    needed = figures.wave.sample_min
    enough = figures.judged >= needed or _all_have_spoken(figures)
    kind = "ok" if enough and figures.judged else _not_yet(figures)
    return Check(
        kind,
        gettext("Sample"),
        str(say_n("at least %(n)s outcome", "at least %(n)s outcomes", needed)),
        words.number(figures.judged),
        bullet(figures.judged, needed, max(needed, figures.judged) * 1.25, FILLS[kind]),
    )


def _failed(figures: WaveFigures) -> Check:
    limit, bad = figures.wave.failed_share_max, figures.outcomes[Outcome.BAD]
    share = bad / figures.judged if figures.judged else 0
    enough = figures.judged >= figures.wave.sample_min or _all_have_spoken(figures)
    if bad > exact(limit) * (figures.judged if enough else figures.there):
        kind = "bad"
    elif not figures.judged:
        kind = "off"
    else:
        kind = "ok" if enough else "live"
    text = gettext("at most %(limit)s", limit=words.percent(limit))
    if not enough and figures.judged:
        text = gettext("%(limit)s, too few to judge yet", limit=text)
    return Check(
        kind,
        gettext("Failed installs"),
        text,
        words.percent(share, 2) if figures.judged else gettext("none yet"),
        bullet(share, limit, max(limit * 1.6, share, 0.0001), FILLS[kind]),
    )


def _silent(figures: WaveFigures) -> Check:
    limit, silent = figures.wave.silent_share_max, figures.outcomes[Outcome.SILENT]
    share = silent / figures.there if figures.there else 0
    accepted = figures.wave.silent_accepted or 0
    broken = silent > max(exact(limit) * figures.there, Fraction(accepted))
    begun = figures.state is not WaveState.WAITING
    kind = "bad" if broken else "ok" if begun else "off"
    text = gettext("at most %(limit)s", limit=words.percent(limit))
    if accepted:
        text = str(
            say_n(
                "%(limit)s; a person accepted %(n)s box",
                "%(limit)s; a person accepted %(n)s boxes",
                accepted,
                limit=text,
            )
        )
    return Check(
        kind,
        gettext("Silent boxes"),
        text,
        words.percent(share),
        bullet(share, limit, max(limit * 1.6, share, 0.0001), FILLS[kind]),
    )


def _soak(figures: WaveFigures, now: datetime) -> Check:
    wave = figures.wave
    needed = timedelta(seconds=wave.soak_s)
    passed = timedelta(0)
    if wave.soak_from is not None:
        passed = min(max((wave.passed_at or now) - wave.soak_from, timedelta(0)), needed)
    if wave.soak_from is not None and passed >= needed:
        kind = "ok"
    else:
        kind = "live" if wave.soak_from is not None else _not_yet(figures, "off")
    return Check(
        kind,
        gettext("Soak"),
        words.duration(needed) if wave.soak_s else gettext("none"),
        words.duration(passed) if wave.soak_from is not None else gettext("not begun"),
        bullet(passed.total_seconds(), wave.soak_s, wave.soak_s, FILLS[kind]),
    )


def _all_have_spoken(figures: WaveFigures) -> bool:
    return figures.outcomes[Outcome.PENDING] == 0 and figures.boxes > 0


def _not_yet(figures: WaveFigures, at_work: str = "live") -> str:
    return "off" if figures.state in {WaveState.WAITING, WaveState.HALTED} else at_work
