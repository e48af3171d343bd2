"""Reads what the real services have done, row by row, and tells the judges.

Below the services: what is true is what stands in the database after a commit. Looked at
after each batch, tick and deed, each of which is one moment of the story. Each rollout has
a look of its own: the one that the story plans, and those that take boxes back from it.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from oleada_server.db import time_text
from oleada_server.rollouts.states import IN_FLIGHT, BoxState, RolloutState, WaveState

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.sim.world import World

ENDED_BADLY: Final = frozenset({RolloutState.HALTED, RolloutState.STOPPED})
ENDS: Final = ENDED_BADLY | {RolloutState.FINISHED}
TOLD: Final = {
    "wave.open": "{}",
    "wave.soak": "{} and soaks",
    "wave.pass": "{}",
    "wave.hold": "held: {}",
    "wave.go_on": "{}",
    "rollout.halt": "halted: {}",
    "rollout.halt_stratum": "halted in part: {}",
    "rollout.finish": "finished",
}
"""Lines of the story, by deed of the audit trail; its reason goes where the braces are."""
BOXES: Final = """
    SELECT box.device_id, wave.position, box.state, box.attempt, box.reason,
           box.deadline_at IS NOT NULL, box.lease_expires_at > ?,
           box.counted = 'open' AND box.ripe_at IS NOT NULL
    FROM box_in_wave AS box JOIN wave ON wave.id = box.wave_id
    WHERE box.rollout_id = ? ORDER BY box.id
"""
OUTCOMES: Final = """
    SELECT log.id, box.device_id, log.attempt, log.was, log.now FROM box_outcome AS log
    JOIN box_in_wave AS box ON box.id = log.box_id
    WHERE log.rollout_id = ? AND log.id > ? ORDER BY log.id
"""


class Seen(NamedTuple):
    """One box in its wave, as its row says."""

    wave: int
    state: BoxState
    attempt: int
    reason: str | None
    is_expected: bool
    has_lease: bool
    is_on_trial: bool

    @property
    def is_in_flight(self) -> bool:
        """Whether it takes one of the places that the plan leaves."""
        return self.is_on_trial or (self.state in IN_FLIGHT and self.has_lease)


@dataclass(slots=True)
class Listening:
    """What boxes have said of themselves, whatever rollout they are in."""

    database: sqlite3.Connection
    tell: Callable[[Fact], None]
    _samples: int = 0
    _versions: dict[str, str] = field(default_factory=dict)

    def look(self) -> None:
        """Tell which health messages were counted, and what boxes are said to run."""
        for number, box in self.database.execute(
            "SELECT id, device_id FROM health_sample WHERE id > ? ORDER BY id", (self._samples,)
        ):
            self._samples = number
            self.tell(facts.HealthCounted(box))
        for box, version in self.database.execute("SELECT id, version FROM device ORDER BY id"):
            if self._versions.get(box) != version:
                self._versions[box] = version
                self.tell(facts.Shown(box, "", version))


@dataclass(slots=True)
class Looking:
    """What was seen last of one rollout.

    Args:
        in_flight_max: Boxes that may be at work at a time.
        rollout: Its number; those after 1 take boxes back.
        back_to: The version that it takes boxes back to.

    Attributes:
        boxes: By device id.
        waves: State of each wave, in order.
        state: Of the rollout.
        reason: Why it ended early.
        halted: Versions before whose boxes are halted while others go on.
    """

    database: sqlite3.Connection
    world: World
    tell: Callable[[Fact], None]
    in_flight_max: int
    rollout: int = 1
    back_to: str = ""
    boxes: dict[str, Seen] = field(default_factory=dict)
    waves: list[WaveState] = field(default_factory=list)
    state: RolloutState = RolloutState.DRAFT
    reason: str = ""
    halted: tuple[str, ...] = ()
    _outcomes: int = 0
    _deeds: int = 0
    _sizes: Counter[int] = field(default_factory=Counter)
    _back: set[str] = field(default_factory=set)

    def after_batch(self, now: datetime, leased: list[str]) -> None:
        """Tell what a batch has changed; *leased* were granted a lease of it in the batch."""
        before, most = self.boxes, self._room()
        self._look_at_boxes(now)
        others = sum(box.is_in_flight for box in self.boxes.values()) - 1
        for box in leased:
            had = before.get(box)
            is_new = had is None or not had.is_in_flight
            self.tell(facts.LeaseGiven(box, others if is_new else 0, most, self.rollout))
        self._look_at_outcomes()

    def after_tick(self, now: datetime) -> None:
        """Tell what the scheduler or a person has changed."""
        self._look_at_outcomes()
        self._look_at_rollout()
        self._look_at_boxes(now)

    def ways_back(self) -> Iterator["Looking"]:
        """Yield a look at each rollout that takes boxes back from this one, once it has begun."""
        query = (
            "SELECT version, boxes, back_id, refused FROM rollout_gone_back WHERE rollout_id = ?"
        )
        for version, boxes, back_id, refused in self._rows(query + " ORDER BY version"):
            if version in self._back:
                continue
            self._back.add(version)
            self.tell(facts.WayBack(version, boxes, refused or "", back_id or 0))
            why = f", but can not: {refused}" if refused else ""
            self.world.tell(f"{boxes} boxes are to go back to {version}{why}")
            if not refused:
                yield Looking(self.database, self.world, self.tell, self.in_flight_max,
                              rollout=back_id, back_to=version)  # fmt: skip

    @property
    def owes_a_way_back(self) -> bool:
        """Whether it has ended badly, and nothing was said yet of who goes back."""
        return self.state in ENDED_BADLY and not self._back

    def is_over(self) -> bool:
        """Return whether the rollout has ended and nothing is expected of any box.

        One that takes boxes back may also be held for those that did not come: for people.
        """
        is_held = bool(self.back_to) and set(self.waves) == {WaveState.HELD}
        has_ended = self.state in ENDS or is_held
        return has_ended and not any(box.is_expected for box in self.boxes.values())

    def _look_at_rollout(self) -> None:
        ((state, reason),) = self._rows("SELECT state, state_reason FROM rollout WHERE id = ?")
        was, self.state = self.state, RolloutState(state)
        self.reason = reason or "" if self.state in ENDS else ""
        waves = "SELECT state, boxes FROM wave WHERE rollout_id = ? ORDER BY position"
        found = self._rows(waves).fetchall()
        was_waiting = {at for at, one in enumerate(self.waves) if one is WaveState.WAITING}
        self.waves = [WaveState(one) for one, _ in found]
        self._say_deeds()
        if self.state is not was:
            self.tell(facts.RolloutMoved(str(self.state), self.rollout))
        for at, (_, boxes) in enumerate(found):
            is_first = at in was_waiting or at not in self._sizes
            if is_first and self.waves[at] is not WaveState.WAITING:
                self._sizes[at] = boxes
                self.tell(facts.WaveOpened(at + 1, boxes, self.rollout))

    def _say_deeds(self) -> None:
        query = (
            "SELECT id, action, reason FROM audit_event WHERE object_ref = 'R-' || ? AND id > ? "
            "ORDER BY id"
        )
        whose = f"back to {self.back_to}: " if self.back_to else ""
        for number, action, reason in self._rows(query, self._deeds):
            self._deeds = number
            if action in TOLD:
                self.world.tell(whose + TOLD[action].format(reason))

    def _room(self) -> int:
        """Return how many boxes may be at work: a few, and one for each that proved good."""
        query = (
            "SELECT start_boxes + (SELECT COUNT(*) FROM box_in_wave WHERE counted = 'good' "
            "AND rollout_id = terms.rollout_id) FROM evidence_terms AS terms WHERE rollout_id = ?"
        )
        found = self._rows(query).fetchone()
        return self.in_flight_max if found is None else min(found[0], self.in_flight_max)

    def _look_at_outcomes(self) -> None:
        for number, box, attempt, was, now_is in self._rows(OUTCOMES, self._outcomes):
            self._outcomes = number
            self.tell(facts.Counted(box, attempt, was, now_is, self.rollout))
        query = (
            "SELECT version FROM stratum WHERE rollout_id = ? AND halted_at IS NOT NULL "
            "ORDER BY version"
        )
        halted = tuple(version for (version,) in self._rows(query))
        if halted != self.halted:
            self.halted = halted
            self.tell(facts.StrataHalted(halted))

    def _look_at_boxes(self, now: datetime) -> None:
        before, self.boxes = self.boxes, {}
        for box, wave, state, attempt, reason, *flags in self.database.execute(
            BOXES, (time_text(now), self.rollout)
        ):
            seen = Seen(wave, BoxState(state), attempt, reason, *map(bool, flags))
            self.boxes[box] = seen
            had = before.get(box)
            if had == seen:
                continue
            if had is None and self.back_to:
                self.tell(facts.SentBack(box, self.back_to, self.rollout))
            if attempt and (had is None or had.attempt != attempt):
                self.tell(facts.Commanded(box, wave, attempt, self.rollout))
            if had is not None and had.state is not seen.state:
                self._tell_state(box, seen)

    def _tell_state(self, box: str, seen: Seen) -> None:
        if seen.state is BoxState.SILENT:
            self.world.note(box, "is silent")
        version = self._reported(box) if seen.state is BoxState.UPDATED else ""
        self.tell(facts.Shown(box, str(seen.state), version))

    def _reported(self, box: str) -> str:
        """Return the version in the newest report of *box* that was counted."""
        query = (
            "SELECT report.version FROM report JOIN box_in_wave ON box_in_wave.id = report.box_id "
            "WHERE box_in_wave.rollout_id = ? AND box_in_wave.device_id = ? "
            "ORDER BY report.id DESC LIMIT 1"
        )
        found = self._rows(query, box).fetchone()
        return str(found[0]) if found is not None else ""

    def _rows(self, query: str, *after: object) -> sqlite3.Cursor:
        """Ask *query*, whose first question mark is the rollout."""
        return self.database.execute(query, (self.rollout, *after))
