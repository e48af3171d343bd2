"""The form of a plan: what was typed, kept as typed, and the plan that it spells.

Nothing is guessed: a field that can not be read is named with what was expected, and no
limit that is missing becomes "no limit".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Final
from zoneinfo import ZoneInfo

from oleada_wire.ids import is_device_id, normalise_device_id
from oleada_wire.messages import Window

from oleada_server.rollouts.cover import Cover, parse_cover
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.spec import WAVES_MAX, RolloutSpec, WaveSpec, with_hold_back
from oleada_server.web import plan_judging, plan_rules
from oleada_server.web.plan_waves import UNIT_S, WaveRow, row_of, soak_text, templates
from oleada_server.web.words import gettext

CHARS_MAX: Final = 400_000  # of the list of boxes: ten thousand with their line ends
_SOAK: Final = re.compile(r"(\d{1,7}(?:[.,]\d{1,4})?)\s*(s|min|h|d)?", re.IGNORECASE)
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing to correct: the id of its field, and what was expected."""

    field: str
    says: str


class FormError(Exception):
    """The form does not spell a plan; *wrong* says why, at least one thing."""

    def __init__(self, wrong: list[Wrong]) -> None:
        super().__init__("; ".join(one.says for one in wrong))
        self.wrong = wrong


@dataclass(frozen=True, slots=True)
class PlanForm:
    """Every field of the page as typed.

    Attributes:
        boxes: ``all``; ``first`` makes *listed* the first wave; ``only`` the only one.
        window: ``any``; ``daily``, then *begin* to *end*, ``HH:MM``; or ``weekly``, then the
            *windows* of *rules*.
        rules: The rules as typed, by the names of ``plan_rules.FIELDS``.
        judging: How it is judged, by the names of ``plan_judging.FIELDS``.
        hold_back: How many percent of the model get the release last; empty for none.
        slow: Not empty to begin with *start_boxes* and to judge by evidence.
        start: ``now`` or ``at``; then *start_at*, local time of the reader's zone.
    """

    release: str = ""
    boxes: str = "all"
    listed: str = ""
    waves: tuple[WaveRow, ...] = field(
        default_factory=lambda: templates(has_evidence=True)["usual"]
    )
    window: str = "daily"
    begin: str = "02:00"
    end: str = "05:00"
    start: str = "now"
    start_at: str = ""
    name: str = ""
    in_flight: str = "500"
    silent_after: str = "24 h"
    slow: str = "yes"
    start_boxes: str = "20"
    hold_back: str = ""
    remark: str = ""
    salt: str = ""
    shown: str = ""
    once: str = ""
    rules: Mapping[str, str] = field(default_factory=dict)
    judging: Mapping[str, str] = field(default_factory=dict)

    @property
    def template(self) -> str:
        """Return the name of the template that the waves are, empty if of none."""
        found = templates(has_evidence=bool(self.slow)).items()
        return next((name for name, rows in found if rows == self.waves), "")

    @property
    def is_wide_alone(self) -> bool:
        """Return whether a wave has the wide guard of evidence, while nothing else judges."""
        wide = templates(has_evidence=True)["once"][0]
        guard = (wide.failed, wide.sample)
        return not self.slow and any((row.failed, row.sample) == guard for row in self.waves)

    def with_wave(self) -> "PlanForm":
        """Return the form with one more wave before the last."""
        if len(self.waves) >= WAVES_MAX:
            return self
        last = self.waves[-1]
        return replace(self, waves=(*self.waves[:-1], replace(last, name="", until=""), last))

    def without_wave(self, index: int) -> "PlanForm":
        """Return the form without wave *index* (from 0); one always stays."""
        rows = tuple(row for at, row in enumerate(self.waves) if at != index)
        return replace(self, waves=rows) if rows else self

    def with_template(self, name: str) -> "PlanForm":
        """Return the form with the waves of template *name*; an unknown one changes nothing."""
        found = templates(has_evidence=bool(self.slow))
        return replace(self, waves=found.get(name, self.waves))


def read(form: Mapping[str, str]) -> PlanForm:
    """Return what was sent, as it was typed."""
    text = {name: form.get(name, "").strip()[:200] for name in _TEXTS}
    rows = []
    for index in range(WAVES_MAX + 1):
        if f"w{index}-until" not in form and f"w{index}-soak" not in form:
            break
        rows.append(WaveRow(**{name: form.get(f"w{index}-{name}", "")[:300] for name in _COLUMNS}))
    return PlanForm(
        **text,
        rules={name: form.get(name, "")[: plan_rules.CHARS_MAX] for name in plan_rules.FIELDS},
        judging={n: form.get(n, "")[: plan_judging.CHARS_MAX] for n in plan_judging.FIELDS},
        remark=form.get("reason", "").strip()[:500],
        listed=form.get("listed", "")[:CHARS_MAX],
        waves=tuple(rows) or templates(has_evidence="slow" in form)["usual"],
    )


_COLUMNS: Final = tuple(one.name for one in fields(WaveRow))
_APART: Final = {"remark", "listed", "waves", "rules", "judging"}
_TEXTS: Final = tuple(one.name for one in fields(PlanForm) if one.name not in _APART)


def like(rollout: Rollout, spec: RolloutSpec) -> PlanForm:
    """Return the form that plans again what *rollout* did; its start and boxes are new."""
    listed = [wave.device_ids for wave in spec.waves if wave.device_ids is not None]
    only = bool(listed) and len(spec.waves) == 1
    window = spec.window
    is_weekly = bool(spec.rules.schedule.windows)
    return PlanForm(
        boxes="only" if only else "first" if listed else "all",
        listed="\n".join(listed[0]) if listed else "",
        waves=tuple(row_of(wave) for wave in spec.waves),
        window=plan_rules.WEEKLY if is_weekly else "any" if window is None else "daily",
        rules=plan_rules.texts_of(spec.rules),
        begin=_clock(window.start_min) if window else "02:00",
        end=_clock(window.end_min) if window else "05:00",
        name="" if rollout.name.endswith(rollout.release.version) else rollout.name,
        in_flight=str(spec.in_flight_max),
        silent_after=soak_text(spec.silent_after_s),
        slow="" if spec.evidence is None else "yes",
        start_boxes=str((spec.evidence or EvidenceSpec()).start_boxes),
        judging=plan_judging.texts_of(spec),
    )


def spec_of(form: PlanForm, now: datetime, zone: str) -> RolloutSpec:
    """Return the plan that *form* spells, without its salt.

    Raises:
        FormError: Something can not be read, or does not fit together.
    """
    found = _Reader(form)
    model, _, version = form.release.partition("/")
    listed = found.list_of_boxes()
    rows = form.waves[:1] if form.boxes == "only" else form.waves
    waves = [found.wave(index, row, listed) for index, row in enumerate(rows)]
    found.check_rising(rows, listed is not None)
    window, start_at = found.window(), found.start(now, zone)
    hold_back = found.hold_back()
    rules, wrong = plan_rules.rules_of(form.rules, form.window)
    found.wrong += [Wrong(field, says) for field, says in wrong]
    in_flight = found.whole("in_flight", form.in_flight, 1, 10_000_000)
    silent_after_s = found.soak("silent_after", form.silent_after)
    start_boxes = found.whole("start_boxes", form.start_boxes, 1, 10_000)
    more = plan_judging.judging_of(form.judging, found)
    if found.wrong or not version:
        raise FormError(
            found.wrong or [Wrong("release", gettext("Choose the firmware to install."))]
        )
    try:
        planned = tuple(wave for wave in waves if wave is not None)
        return RolloutSpec(
            hardware_model=model,
            version=version,
            waves=planned if hold_back is None else with_hold_back(planned, hold_back),
            name=form.name,
            start_at=start_at,
            window=window,
            silent_after_s=silent_after_s,
            in_flight_max=in_flight,
            rules=rules,
            evidence=EvidenceSpec(start_boxes=start_boxes, **more.evidence) if form.slow else None,
            **more.rollout,
        )
    except BadPlanError as error:
        raise FormError([Wrong(error.field or "release", str(error))]) from error


def digest(spec: RolloutSpec) -> str:
    """Return what tells one plan from another, whatever its salt; 16 hex digits."""
    return sha256(repr(replace(spec, salt=None)).encode()).hexdigest()[:16]


class _Reader:
    """Reads fields of *form* and collects what is wrong with them."""

    def __init__(self, form: PlanForm) -> None:
        self.form = form
        self.wrong: list[Wrong] = []

    def list_of_boxes(self) -> tuple[str, ...] | None:
        if self.form.boxes == "all":
            return None
        typed = [text for text in re.split(r"[\s,;]+", self.form.listed) if text]
        ids = tuple(dict.fromkeys(normalise_device_id(text) for text in typed))
        bad = next((text for text in typed if not is_device_id(normalise_device_id(text))), None)
        if not ids:
            self._miss("listed", gettext("List at least one box, one id a line."))
        elif bad is not None:
            self._miss("listed", gettext("“%(typed)s” is not the id of a box.", typed=bad[:30]))
        return ids

    def wave(self, index: int, row: WaveRow, listed: tuple[str, ...] | None) -> WaveSpec | None:
        before, at = len(self.wrong), f"w{index}"
        is_list = index == 0 and listed is not None
        cover = None if is_list else self._cover(f"{at}-until", row.until)
        is_share = not is_list and cover is None
        until = self.share(f"{at}-until", row.until, over=0) if is_share else None
        chosen = cover or Cover(None, None)
        limits = {
            "success_share_min": self.share(f"{at}-updated", row.updated),
            "failed_share_max": self.share(f"{at}-failed", row.failed),
            "silent_share_max": self.share(f"{at}-silent", row.silent),
        }
        sample = self.whole(f"{at}-sample", row.sample, 1, 10_000_000)
        soak_s = self.soak(f"{at}-soak", row.soak)
        if len(self.wrong) > before:
            return None
        try:
            return WaveSpec(
                name=row.name.strip() or f"Wave {index + 1}",
                share_until=until,
                device_ids=listed if is_list else None,
                count=chosen.count,
                where=chosen.where,
                sample_min=sample,
                soak_s=soak_s,
                **limits,
            )
        except BadPlanError as error:
            self._miss("listed" if is_list else f"{at}-until", str(error))
            return None

    def _cover(self, name: str, text: str) -> Cover | None:
        """Return the number and the filter that *text* spells, None for a percentage."""
        if "=" not in text:
            return None
        try:
            return parse_cover(text)
        except BadPlanError as error:
            self._miss(name, str(error))
            return Cover(1, None)

    def check_rising(self, rows: tuple[WaveRow, ...], has_list: bool) -> None:
        before = Decimal(0)
        for index, row in enumerate(rows):
            share = _decimal(row.until)
            if share is None or (has_list and index == 0):
                continue
            if share <= before:
                self._miss(
                    f"w{index}-until",
                    gettext(
                        "Wave %(n)s reaches up to %(share)s %%, but the one before it already "
                        "does; each reaches further.",
                        n=index + 1,
                        share=row.until,
                    ),
                )
            before = max(before, share)

    def window(self) -> Window | None:
        if self.form.window != "daily":
            return None
        begin, end = (_CLOCK.fullmatch(text) for text in (self.form.begin, self.form.end))
        if begin is None or end is None:
            self._miss("begin", gettext("Write the window as 02:00 to 05:00."))
            return None
        try:
            return Window(*(int(m[1]) * 60 + int(m[2]) for m in (begin, end)))
        except ValueError:
            self._miss("begin", gettext("The window begins and ends at the same time."))
            return None

    def start(self, now: datetime, zone: str) -> datetime | None:
        if self.form.start != "at":
            return None
        try:
            local = datetime.fromisoformat(self.form.start_at).replace(tzinfo=ZoneInfo(zone))
        except ValueError:
            self._miss("start_at", gettext("Write day and time of the start."))
            return None
        at = local.astimezone(UTC)
        if at.astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None):
            self._miss("start_at", gettext("That time is skipped when the clocks change."))
        elif at <= now:
            self._miss("start_at", gettext("The start lies in the past."))
        return at

    def whole(self, name: str, text: str, low: int, high: int) -> int:
        if text.strip().isascii() and text.strip().isdigit() and low <= int(text) <= high:
            return int(text)
        says = gettext("%(field)s: a whole number from %(low)s was expected, not “%(typed)s”.",
                       field=label_of(name), low=low, typed=text[:20])  # fmt: skip
        self._miss(name, says)
        return low

    def soak(self, name: str, text: str) -> int:
        found = _SOAK.fullmatch(text.strip())
        if found:
            amount = Decimal(found[1].replace(",", "."))
            seconds = amount * UNIT_S[(found[2] or "h").lower()]
            if seconds <= 366 * 86_400:
                return int(seconds)
        says = gettext("%(field)s: a time such as 48 h or 30 min was expected, not “%(typed)s”.",
                       field=label_of(name), typed=text[:20])  # fmt: skip
        self._miss(name, says)
        return 0

    def hold_back(self) -> float | None:
        typed = self.form.hold_back
        return self.share("hold_back", typed, over=0) if typed else None

    def share(self, name: str, text: str, over: int = -1) -> float:
        share = _decimal(text)
        if share is not None and over < share <= 100 and share * 100 == int(share * 100):
            return float(share / 100)
        says = gettext("%(field)s: a percentage up to 100 was expected, not “%(typed)s”.",
                       field=label_of(name), typed=text[:20])  # fmt: skip
        self._miss(name, says)
        return 1.0

    def _miss(self, name: str, says: str) -> None:
        self.wrong.append(Wrong(name, says))


def label_of(name: str) -> str:
    """Return what people call field *name*: ``Wave 2, soak``."""
    row, _, column = name.partition("-")
    labels = {
        "until": gettext("boxes up to"),
        "updated": gettext("updated"),
        "failed": gettext("failed"),
        "silent": gettext("silent"),
        "sample": gettext("sample"),
        "soak": gettext("soak"),
        "in_flight": gettext("Boxes at work at one time"),
        "silent_after": gettext("Silent after"),
        "start_boxes": gettext("Boxes to begin with"),
        "hold_back": gettext("Kept back to compare with"),
    }
    if not column:
        return (labels | plan_judging.labels()).get(row, row)
    return gettext("Wave %(n)s, %(field)s", n=int(row[1:]) + 1, field=labels[column])


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text.strip().rstrip("%").strip().replace(",", "."))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
