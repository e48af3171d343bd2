"""The live preview of a plan: what it would cover, whom not and why, and when it can end."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from oleada_server.errors import ServerError
from oleada_server.rollouts import service
from oleada_server.rollouts.clock_change import Shift, next_shift
from oleada_server.rollouts.evidence.judge import CONTROL_MIN
from oleada_server.rollouts.preview import LeftOut, Preview, WavePreview
from oleada_server.rollouts.schedule import is_open, with_daily
from oleada_server.rollouts.spec import RolloutSpec
from oleada_server.rollouts.ticks import zone_of
from oleada_server.web import plan_form, plan_replay, words
from oleada_server.web.plan_form import FormError, PlanForm, Wrong
from oleada_server.web.words import gettext, say, say_n

VERSIONS_SHOWN: Final = 3
ZONES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class WaveLine:
    """One wave of the preview: its boxes, and which versions they come from."""

    position: int
    name: str
    boxes: int
    share: float
    versions: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the side of the page shows of a plan; without *preview*, *wrong* says why.

    Attributes:
        digest: Of the plan that is shown; what is stored must have the same.
        left_out: (how many boxes, why, how many of them nothing else keeps out).
        facts: Sentences about start and end.
        replay: Sentences about how it would go, replayed on the last days.
    """

    preview: Preview | None
    digest: str
    waves: list[WaveLine]
    left_out: list[tuple[int, str, int]]
    facts: list[Markup]
    wrong: list[Wrong]
    replay: list[Markup] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """Return whether the plan may be stored as it is shown."""
        return self.preview is not None and not self.wrong


def show(form: PlanForm, now: datetime, zone: str, *, keep_salt: bool = False) -> Shown:
    """Return the preview of *form*; with *keep_salt* of exactly the boxes it named before.

    A plan that is the one that was shown keeps its boxes too: numbers do not move while
    somebody writes the remark.
    """
    try:
        spec = plan_form.spec_of(form, now, zone)
        if form.salt and (keep_salt or form.shown == plan_form.digest(spec)):
            spec = replace(spec, salt=form.salt)
        preview = service.preview(spec)
    except FormError as error:
        return Shown(None, "", [], [], [], error.wrong)
    except ServerError as error:
        return Shown(None, "", [], [], [], [Wrong("release", str(error))])
    return Shown(
        preview=preview,
        digest=plan_form.digest(spec),
        waves=[_line(at, wave, preview.boxes) for at, wave in enumerate(preview.waves, start=1)],
        left_out=[
            (boxes, why_left_out(reason), preview.gains.get(reason, 0))
            for reason, boxes in preview.left_out.items()
        ],
        facts=_alone(form) + _facts(spec, preview, now),
        wrong=_empty_waves(preview),
        replay=_replay(spec, preview, now),
    )


def why_left_out(reason: LeftOut) -> str:
    """Return in words why boxes are in no wave."""
    spelt = {
        LeftOut.REVOKED: gettext("are revoked"),
        LeftOut.NEVER_HEARD: gettext("never heard"),
        LeftOut.ALREADY_THERE: gettext("run it already"),
        LeftOut.RUNS_NEWER: gettext("run a newer version"),
        LeftOut.BELOW_MINIMUM_VERSION: gettext("run a version that is too old for it"),
        LeftOut.BELOW_SECURITY_FLOOR: gettext("have a higher security version"),
        LeftOut.MUST_PASS: gettext("have to go through another version first"),
        LeftOut.LACKS_DEPENDENCY: gettext("can not do what it needs"),
        LeftOut.IN_ANOTHER_ROLLOUT: gettext("are in another open rollout"),
        LeftOut.NO_WAVE: gettext("are in none of the waves"),
        LeftOut.OTHER_MODEL: gettext("listed, but unknown or of another model"),
    }
    return spelt[reason]


def _alone(form: PlanForm) -> list[Markup]:
    """Return that the limits are too wide to judge by themselves, if they are."""
    if not form.is_wide_alone:
        return []
    return [
        say(
            "<b>Limits alone judge this plan</b>, and those of its waves are the wide ones that "
            "stand beside evidence. A template gives narrow ones."
        )
    ]


def _replay(spec: RolloutSpec, preview: Preview, now: datetime) -> list[Markup]:
    found = service.dry_run(spec, preview, now)
    return [] if found is None else plan_replay.sentences(found, spec)


def _line(position: int, wave: WavePreview, boxes: int) -> WaveLine:
    by_count = sorted(wave.from_versions.items(), key=lambda item: -item[1])
    spelt = [
        gettext("%(n)s on %(version)s", n=words.number(count), version=version)
        for version, count in by_count[:VERSIONS_SHOWN]
    ]
    if more := sum(count for _, count in by_count[VERSIONS_SHOWN:]):
        spelt.append(gettext("%(n)s on others", n=words.number(more)))
    share = wave.boxes / boxes if boxes else 0
    name = "" if wave.name == f"Wave {position}" else wave.name
    return WaveLine(position, name, wave.boxes, share, ", ".join(spelt))


def _empty_waves(preview: Preview) -> list[Wrong]:
    if not preview.boxes:
        return [Wrong("release", gettext("No box is left that this plan could reach."))]
    return [
        Wrong(
            f"w{index}-until",
            gettext("Wave %(n)s would cover no box, so it would prove nothing.", n=index + 1),
        )
        for index, wave in enumerate(preview.waves)
        if not wave.boxes
    ]


def _facts(spec: RolloutSpec, preview: Preview, now: datetime) -> list[Markup]:
    soak = timedelta(seconds=sum(wave.soak_s for wave in spec.waves))
    load = preview.boxes * preview.size_bytes
    facts = [
        say("<b>Not before</b> %(span)s after its start is it finished: so long the waves soak. "
            "How fast boxes come depends on them, so no day is promised.",
            span=words.duration(soak)),
    ]  # fmt: skip
    if load:
        facts.append(say("<b>%(size)s</b> is loaded by all boxes together.", size=words.size(load)))
    if spec.start_at is not None:
        facts.insert(0, say("<b>Starts</b> %(moment)s at the earliest, when it is approved.",
                            moment=words.moment(spec.start_at)))  # fmt: skip
    if preview.boxes > spec.in_flight_max:
        facts.append(
            say_n("At most <b>%(n)s box</b> is at work at one time.",
                  "At most <b>%(n)s boxes</b> are at work at one time.", spec.in_flight_max)
        )  # fmt: skip
    facts += _control(spec, preview)
    return facts + _closed_now(spec, preview, now) + _clock_changes(spec, preview, now)


def _control(spec: RolloutSpec, preview: Preview) -> list[Markup]:
    """Return that nobody is left to compare with at the end, where evidence judges silence."""
    if spec.evidence is None or not preview.waves:
        return []
    waiting = preview.waves[-1].boxes if len(preview.waves) > 1 else 0
    if waiting >= CONTROL_MIN:
        return []
    return [
        say_n(
            "<b>No control:</b> %(n)s box waits to the last, and %(least)s would be needed to tell "
            "whether silence is usual. Strange silence then asks a person.",
            "<b>No control:</b> %(n)s boxes wait to the last, and %(least)s would be needed to "
            "tell whether silence is usual. Strange silence then asks a person.",
            waiting,
            least=CONTROL_MIN,
        )
    ]


def _closed_now(spec: RolloutSpec, preview: Preview, now: datetime) -> list[Markup]:
    """Return how many boxes could begin at the start if it were not for windows and blackouts."""
    times = with_daily(spec.rules.schedule, spec.window)
    begins = max(now, spec.start_at or now)
    shut = sum(n for name, n in preview.zones.items() if not is_open(times, zone_of(name), begins))
    if not shut:
        return []
    return [
        say_n("<b>+%(n)s box</b> could begin at the start without the windows.",
              "<b>+%(n)s boxes</b> could begin at the start without the windows.", shut)
    ]  # fmt: skip


def _clock_changes(spec: RolloutSpec, preview: Preview, now: datetime) -> list[Markup]:
    """Return what the next change of the clocks does to the window, the nearest day first."""
    if spec.window is None:
        return []
    hit: dict[Shift, dict[str, int]] = {}
    for name, boxes in preview.zones.items():
        shift = next_shift(spec.window, zone_of(name), max(now, spec.start_at or now))
        if shift is not None:
            hit.setdefault(shift, {})[name] = boxes
    return [
        _said(shift, hit[shift])
        for shift in sorted(hit, key=lambda shift: (shift.on, shift.then_min))
    ]


def _said(shift: Shift, zones: dict[str, int]) -> Markup:
    day, boxes = words.on_day(shift.on), sum(zones.values())
    named = [zone.rpartition("/")[2].replace("_", " ") for zone in sorted(zones)]
    where = ", ".join(named[:ZONES_SHOWN]) + (" …" if len(named) > ZONES_SHOWN else "")
    usual, then = (
        words.duration(timedelta(minutes=minutes)) for minutes in (shift.usual_min, shift.then_min)
    )
    if not shift.then_min:
        return say_n(
            "<b>%(day)s:</b> the clocks change (%(where)s) and skip the whole window; %(n)s box "
            "can begin a day later.",
            "<b>%(day)s:</b> the clocks change (%(where)s) and skip the whole window; %(n)s boxes "
            "can begin a day later.",
            boxes, day=day, where=where)  # fmt: skip
    if shift.then_min < shift.usual_min:
        return say_n(
            "<b>%(day)s:</b> the clocks skip a part of the window (%(where)s): for %(n)s box it is "
            "open %(then)s instead of %(usual)s.",
            "<b>%(day)s:</b> the clocks skip a part of the window (%(where)s): for %(n)s boxes it "
            "is open %(then)s instead of %(usual)s.",
            boxes, day=day, where=where, then=then, usual=usual)  # fmt: skip
    return say_n(
        "<b>%(day)s:</b> a part of the window comes twice (%(where)s): for %(n)s box it is open "
        "%(then)s instead of %(usual)s.",
        "<b>%(day)s:</b> a part of the window comes twice (%(where)s): for %(n)s boxes it is open "
        "%(then)s instead of %(usual)s.",
        boxes, day=day, where=where, then=then, usual=usual)  # fmt: skip
