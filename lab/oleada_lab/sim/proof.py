"""What evidence adds to the rows of a story: who began, what each attempt stands for, who is dark.

What is judged comes from the server's own pure code: ``counts`` folds the log, ``trials``
says what a report stands for, ``judge`` decides. Here are only the rows, as the ledger and
the looks keep them in tables.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oleada_server.rollouts import plan_box
from oleada_server.rollouts.evidence import counts, judge, looks, trials
from oleada_server.rollouts.evidence.counts import Counted, Counts, Look, Part
from oleada_server.rollouts.evidence.judge import Evidence
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.plan import Limits, Outcome, Tally, WaveFacts
from oleada_server.rollouts.plan_box import Moved
from oleada_server.rollouts.states import IN_FLIGHT, BoxState
from oleada_wire.words import LeasePhase

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.sim.rows import Row, Rows, WaveRow
from oleada_lab.sim.terms import Terms

LOOKS_EVERY: Final = timedelta(minutes=1)
"""While boxes are at work: a server that looks no more often than that was not away."""


class LimitsAlone:
    """A rollout without evidence: what its limits need of it."""

    def __init__(self, terms: Terms, rows: Rows) -> None:
        self._terms, self._rows = terms, rows

    def places(self, row: Row, now: datetime) -> tuple[int, int]:
        """Return how many other boxes are at work, and how many may be."""
        return self._rows.others_in_flight(row, now), self._terms.in_flight_max

    def has_place(self, row: Row, now: datetime) -> bool:
        """Return whether *row* was given a place and still has it."""
        return row.was_given and self.is_at_work(row, now)

    def is_at_work(self, row: Row, now: datetime) -> bool:
        """Return whether *row* counts beside others, with a place or without."""
        return row.state in IN_FLIGHT and plan_box.keeps_place(row.lease_until, now)

    def patience(self, row: Row) -> timedelta:
        """Return how long *row* may say nothing."""
        del row
        return self._terms.silent_after

    def spread(self, row: Row) -> timedelta:
        """Return how long *row* may draw before it begins."""
        del row
        return timedelta(seconds=self._terms.spread_s)

    def is_halted(self, row: Row) -> bool:
        """Return whether the boxes that ran what *row* ran before are halted alone."""
        del row
        return False

    def halted_from(self) -> tuple[str, ...]:
        """Return the versions before whose boxes are halted alone."""
        return ()

    def wave_facts(self, wave: WaveRow, limits: Limits, now: datetime) -> WaveFacts:
        """Return what the plan decides on."""
        del now
        tally = self._rows.tally(wave.position)
        return WaveFacts(
            wave.position, wave.state, tally, limits, wave.soak_from, wave.held_for
        )  # fmt: skip

    def evidence(self) -> Evidence | None:
        """Return what is judged beside the limits."""
        return None

    def next_due(self, now: datetime) -> datetime | None:
        """Return when something is due although nobody says anything."""
        del now
        return None

    def assigned(self, row: Row) -> None:
        """Take note of a new attempt."""

    def heard(self, device_id: str, now: datetime) -> None:
        """Take note that a box has said something."""

    def granted(self, row: Row, phase: LeasePhase, now: datetime) -> None:
        """Take note of a lease."""

    def moved(self, row: Row, moved: Moved, now: datetime) -> None:
        """Take note of what a report has made of *row*."""

    def fell_silent(self, row: Row, now: datetime) -> None:
        """Take note that *row* said nothing for too long."""

    def look(self, now: datetime, waiting: Set[int]) -> None:
        """Look at the boxes of waves that are *waiting*, and who has proved good."""

    def halt(self, names: tuple[str, ...]) -> None:
        """Let no box begin that ran one of the versions *names*."""
        raise AssertionError(f"{names} halt alone without evidence")


@dataclass(slots=True)
class _Trial:
    """What the newest attempt of a box stands for, as ``box_in_wave`` keeps it."""

    part: int
    counted: Counted | None = None
    armed_at: datetime | None = None
    ripe_at: datetime | None = None
    silent_in: int | None = None


class Proof(LimitsAlone):
    """The evidence of one rollout."""

    def __init__(
        self,
        terms: Terms,
        spec: EvidenceSpec,
        rows: Rows,
        versions: Mapping[str, str],
        tell: Callable[[Fact], None],
    ) -> None:
        super().__init__(terms, rows)
        self._spec, self._tell = spec, tell
        self._judged = judge.Terms(
            spec.accepted_share or 0.005, spec.alpha, spec.bad_share_max, spec.doubt,
            spec.start_boxes, terms.in_flight_max,
        )  # fmt: skip
        self._ripe_after = timedelta(seconds=spec.ripe_after_s or 0)
        before = sorted({versions[name] for name in rows.by_id})
        self._names = dict(enumerate(before, start=1))
        number = {version: part for part, version in self._names.items()}
        self._trials = {name: _Trial(number[versions[name]]) for name in rows.by_id}
        self._halted: set[int] = set()
        self._counts, self._kept = Counts({}), 0
        self._looks: list[Look] = []
        self._watched: list[str] = []
        self._look_ends: datetime | None = None
        self._watched_since: datetime | None = None
        self._closed_at: datetime | None = None
        self._heard: dict[str, datetime] = {}
        self._open: dict[str, None] = {}
        self._sizes = Counter(trial.part for trial in self._trials.values())
        self._seen: Evidence | None = None
        """What was judged last; None once something has happened since."""

    # -- what the plan asks ------------------------------------------------------------

    def places(self, row: Row, now: datetime) -> tuple[int, int]:
        """Return how many others hold a lease or are in an uncounted trial; and the room."""
        others = sum(
            self.is_at_work(self._rows.by_id[name], now)
            for name in self._open
            if name != row.device_id
        )
        return others, min(judge.judge(self.evidence()).room, self._terms.in_flight_max)

    def has_place(self, row: Row, now: datetime) -> bool:
        """Return whether *row* was given a place, or is in a trial that is not counted."""
        return super().has_place(row, now) or self._is_on_trial(row)

    def is_at_work(self, row: Row, now: datetime) -> bool:
        """Return whether *row* holds a lease, or is in a trial that is not counted."""
        return super().is_at_work(row, now) or self._is_on_trial(row)

    def _is_on_trial(self, row: Row) -> bool:
        trial = self._trials[row.device_id]
        return trial.counted is Counted.OPEN and trial.ripe_at is not None

    def patience(self, row: Row) -> timedelta:
        """Return how long *row* may say nothing: in a trial as long as trials take to count."""
        if self._trials[row.device_id].armed_at is None:
            return self._terms.silent_after
        return min(self._terms.silent_after, self._ripe_after + looks.QUIET)

    def spread(self, row: Row) -> timedelta:
        """Return how long *row* may draw before it begins: in its trial it has begun."""
        in_trial = self._trials[row.device_id].armed_at is not None
        return timedelta(0) if in_trial else super().spread(row)

    def is_halted(self, row: Row) -> bool:
        """Return whether the boxes that ran what *row* ran before are halted alone."""
        return self._trials[row.device_id].part in self._halted

    def halted_from(self) -> tuple[str, ...]:
        """Return the versions before whose boxes are halted alone."""
        return tuple(self._names[part] for part in sorted(self._halted))

    def wave_facts(self, wave: WaveRow, limits: Limits, now: datetime) -> WaveFacts:
        """Return what the plan decides on; boxes of halted strata are no outcome of the wave."""
        found: dict[Outcome, int] = defaultdict(int)
        halted = unripe = 0
        for row in self._rows.of_wave(wave.position):
            if self.is_halted(row):
                halted += 1
                continue
            found[plan_box.outcome(row.state, row.reason, beside=True)] += 1
            trial = self._trials[row.device_id]
            unripe += row.state is BoxState.UPDATED and trial.counted is Counted.OPEN
        tally = Tally(**{str(outcome): boxes for outcome, boxes in found.items()})
        return WaveFacts(
            wave.position, wave.state, tally, limits, wave.soak_from, wave.held_for,
            halted=halted, unripe=unripe,
        )  # fmt: skip

    def evidence(self) -> Evidence:
        """Return what is judged beside the limits."""
        if self._seen is None:
            self._counts.darkness = counts.darkness(self._looks, self._judged.accepted_share)
            parts = [
                Part(part, name, self._sizes[part], part in self._halted)
                for part, name in self._names.items()
            ]
            self._seen = Evidence(self._judged, self._counts.strata(parts), self._kept)
        return self._seen

    def next_due(self, now: datetime) -> datetime | None:
        """Return when the next look is due, while boxes are at work or are watched."""
        is_looking = self._open or self._look_ends is not None
        return now + LOOKS_EVERY if is_looking else None

    # -- what happens ------------------------------------------------------------------

    def assigned(self, row: Row) -> None:
        """Take note of a new attempt; one that was dark and still open stays counted as that."""
        part = self._trials[row.device_id].part
        if self._trials[row.device_id].counted is Counted.OPEN:
            self._note(row, Counted.SILENT)
        self._trials[row.device_id] = _Trial(part)
        self._open.pop(row.device_id, None)

    def heard(self, device_id: str, now: datetime) -> None:
        """Take note that a box has said something."""
        self._heard[device_id] = now

    def granted(self, row: Row, phase: LeasePhase, now: datetime) -> None:
        """Count a box that was let begin, and date its trial when it was let arm."""
        self._note(row, Counted.OPEN)
        trial = self._trials[row.device_id]
        if phase is LeasePhase.ARM:
            trial.armed_at, trial.ripe_at = now, now + self._ripe_after

    def moved(self, row: Row, moved: Moved, now: datetime) -> None:
        """Count what a report has made of *row*."""
        trial = self._trials[row.device_id]
        if trial.counted is None:
            return
        if (stands_for := trials.standing(moved, trial.counted)) is not None:
            self._note(row, stands_for)
        if trials.ripens_as(row.state, row.reason) is not None and trial.ripe_at is None:
            trial.ripe_at = now
        elif row.state is not BoxState.UPDATED and trial.counted in (Counted.BAD, Counted.VOID):
            trial.ripe_at = None

    def fell_silent(self, row: Row, now: datetime) -> None:
        """Count silence as far as it speaks by now."""
        trial = self._trials[row.device_id]
        stands_for = trials.of_silence(trial.armed_at, trial.ripe_at, now)
        if stands_for is not None:
            self._note(row, stands_for)

    def look(self, now: datetime, waiting: Set[int]) -> None:
        """Look at the boxes of waves that are *waiting*, and who has proved good."""
        self._seen = None
        if self._look_ends is None or self._look_ends <= now:
            self._close(now)
            if self._open:
                self._begin(now, waiting)
        else:
            self._count_dark(now, is_closed=False)
        for name, trial in self._trials.items():
            row = self._rows.by_id[name]
            if trial.counted not in (Counted.OPEN, Counted.SILENT):
                continue
            stands_for = trials.ripe(row.state, row.reason, trial.ripe_at, now)
            if stands_for is not None and stands_for is not trial.counted:
                self._note(row, stands_for)
                trial.ripe_at = None

    def halt(self, names: tuple[str, ...]) -> None:
        """Let no box begin that ran one of the versions *names*."""
        self._seen = None
        self._halted |= {part for part, name in self._names.items() if name in names}
        self._tell(facts.StrataHalted(names))

    # -- the log, and who is dark ------------------------------------------------------

    def _note(self, row: Row, now_is: Counted) -> None:
        trial = self._trials[row.device_id]
        was = trial.counted
        if was is now_is or (was is None and now_is is not Counted.OPEN):
            return
        current = self._current(trial)
        look = trial.silent_in if was is Counted.SILENT else current
        never_tried = now_is is Counted.VOID and trial.armed_at is None
        if was is not Counted.SILENT and (now_is is Counted.OPEN or never_tried):
            look = None
        if now_is is Counted.SILENT and trial.silent_in is not None:
            look = trial.silent_in  # it was silent then, and only tells late why
        self._counts.add(trial.part, look, was, now_is, 1)
        self._seen = None
        trial.counted = now_is
        trial.silent_in = look if now_is is Counted.SILENT else trial.silent_in
        if now_is is Counted.GOOD:
            self._kept = 0
        elif now_is in (Counted.BAD, Counted.SILENT) and trial.part not in self._halted:
            self._kept += 1
        if now_is is Counted.OPEN:
            self._open[row.device_id] = None
        else:
            self._open.pop(row.device_id, None)
        self._tell(facts.Counted(row.device_id, row.attempt, was and str(was), str(now_is)))

    def _current(self, trial: _Trial) -> int | None:
        """Return the look that goes on, if boxes were watched ever since *trial* began."""
        since = self._watched_since
        if self._look_ends is None or since is None:
            return None
        is_watched = trial.armed_at is None or trial.armed_at >= since
        return self._looks[-1].number if is_watched else None

    def _begin(self, now: datetime, waiting: Set[int]) -> None:
        if self._terms.health > looks.QUIET:
            return
        watched = [
            name for name, row in self._rows.by_id.items()
            if row.wave in waiting and self._is_heard(name, now)
        ]  # fmt: skip
        if len(watched) >= judge.CONTROL_MIN:
            self._watched = watched[: looks.WATCHED_MAX]
            self._look_ends = now + self._ripe_after
            if self._closed_at != now:
                self._watched_since = now
            number = len(self._looks) + 1
            self._looks.append(Look(number, len(self._watched), 0, is_closed=False))

    def _close(self, now: datetime) -> None:
        if self._look_ends is None:
            return
        self._count_dark(now, is_closed=True)
        self._look_ends = None
        self._closed_at = now if self._looks[-1].dark is not None else None

    def _count_dark(self, now: datetime, *, is_closed: bool) -> None:
        if self._look_ends is None:
            return
        still = [name for name in self._watched if self._trials[name].counted is None]
        gone = sum(not self._is_heard(name, now) for name in still)
        most = min(max(gone, self._looks[-1].dark or 0), len(still))  # also who is back by now
        dark = most if len(still) >= judge.CONTROL_MIN else None
        self._looks[-1] = Look(self._looks[-1].number, len(still), dark, is_closed)

    def _is_heard(self, device_id: str, now: datetime) -> bool:
        at = self._heard.get(device_id)
        return at is not None and now - at <= looks.QUIET


def proof_of(
    terms: Terms, rows: Rows, versions: Mapping[str, str], tell: Callable[[Fact], None]
) -> LimitsAlone:
    """Return what *terms* plan of evidence."""
    if terms.evidence is None:
        return LimitsAlone(terms, rows)
    return Proof(terms, terms.evidence, rows, versions, tell)
