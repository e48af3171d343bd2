"""Whether now is a good time for an update, and whether a new slot is well.

A new slot is well when the media player is ready, the server has answered something
said in this boot, and there is room on the disk, all of it for a while on end. What
fails for good is said at once; the rest the machine's own time limit ends.
Source: agent design, state 7 and rules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from oleada_wire.messages import Window
from oleada_wire.window import is_open, next_opening
from oleada_wire.words import Reason

from oleada_agent import telemetry
from oleada_agent.config import Config
from oleada_agent.machine_events import (
    ConditionsChecked,
    ConditionsLost,
    Event,
    HealthFailed,
    HealthPassed,
    ServerContacted,
)

PLAYER_READY: Final = "run/player.ready"
VIEWER_PRESENT: Final = "run/viewer.present"
"""Written by the media player while somebody watches."""
RETRY_MS: Final = 60_000
LOOK_MS: Final = 500
WATCH_MS: Final = 5_000
"""While an update goes on it is looked at so often whether the time is still a good one."""


@dataclass(slots=True)
class _Trial:
    """What is on trial, and since when."""

    assignment_id: str
    attempt: int
    since_ms: int
    had_room: bool
    well_since_ms: int | None = None
    told_contact: bool = False


class BoxProbes:
    """The ``Probes`` port; ``look`` is called by the service as ``next_look_ms`` asks.

    What was found to be a good time is watched until it is none, or something is on trial.

    Args:
        now: Aware UTC, not before the time floor.
        feed: Gives an event to the machine.
        machine: Root of the file system with ``proc`` and ``sys``.
        free_bytes: Returns how much room the disk of a box has; None when it can not say.
    """

    def __init__(
        self,
        box: Path,
        config: Config,
        zone: str,
        *,
        now: Callable[[], datetime],
        steady_ms: Callable[[], int],
        feed: Callable[[Event], None],
        machine: Path = Path("/"),
        free_bytes: Callable[[Path], int | None] = telemetry.free_bytes,
    ) -> None:
        self._box = box
        self._config = config
        self._zone = ZoneInfo(zone)
        self._now = now
        self._steady_ms = steady_ms
        self._feed = feed
        self._machine = machine
        self._free_bytes = free_bytes
        self._trial: _Trial | None = None
        self._has_contact = False
        self._heeded_seq, self._is_forced = 0, False
        self._look_at_ms = 0
        self._is_watching = False
        self._window: Window | None = None

    def use(self, config: Config) -> None:
        """Go by other settings from now on."""
        self._config = config

    def check_conditions(self, window: Window | None) -> Event | None:
        """Say whether now is a good time, and feed ConditionsLost when it no longer is."""
        found = self._conditions(window)
        self._is_watching, self._window = not found.blocked, window
        if self._trial is None:
            self._look_at_ms = self._steady_ms() + WATCH_MS
        return found

    def _conditions(self, window: Window | None) -> ConditionsChecked:
        now = self._now()
        if window is not None and not is_open(window, self._zone, now):
            opens_in = next_opening(window, self._zone, now) - now
            return ConditionsChecked("window", max(1_000, int(opens_in.total_seconds() * 1000)))
        hottest = telemetry.hottest_c(self._machine)
        if hottest is not None and hottest > self._config.temperature_max_c:
            return ConditionsChecked("too-hot", RETRY_MS)
        if not self._is_forced and (self._box / VIEWER_PRESENT).exists():
            return ConditionsChecked("viewer", RETRY_MS)
        return ConditionsChecked()

    def start_trial(self, assignment_id: str, attempt: int) -> None:
        """Begin to probe; a trial under way is not begun again."""
        known = self._trial
        if known is not None and (known.assignment_id, known.attempt) == (assignment_id, attempt):
            return
        had_room = self._lacks_room() is None
        self._trial = _Trial(assignment_id, attempt, self._steady_ms(), had_room)
        self._is_watching = False
        self._look_at_ms = self._steady_ms() + LOOK_MS

    def server_answered(self) -> None:
        """Take note that the server has acknowledged something said in this boot."""
        self._has_contact = True
        self.look()

    def heed_force(self, assignment_seq: int, *, is_forced: bool) -> None:
        """Go by the newest assignment: one that a person has forced waits for nobody who watches.

        After a start nobody is disturbed until the broker has handed it over again.
        """
        if assignment_seq >= self._heeded_seq:
            self._heeded_seq, self._is_forced = assignment_seq, is_forced

    def next_look_ms(self) -> int | None:
        """Return in how many milliseconds to look again; None when there is nothing to see."""
        if self._trial is None and not self._is_watching:
            return None
        return max(0, self._look_at_ms - self._steady_ms())

    def look(self) -> None:
        """Probe once what is on trial, or else watched, and tell the machine what is known."""
        trial = self._trial
        self._look_at_ms = self._steady_ms() + (WATCH_MS if trial is None else LOOK_MS)
        if trial is None:
            self._watch()
            return
        if self._has_contact and not trial.told_contact:
            trial.told_contact = True
            self._feed(ServerContacted())
        now_ms = self._steady_ms()
        failure = self._failure(trial, now_ms - trial.since_ms)
        if failure is not None:
            self._trial = None
            self._feed(failure)
        elif not self._is_well():
            trial.well_since_ms = None
        elif trial.well_since_ms is None:
            trial.well_since_ms = now_ms
        if self._trial is None or trial.well_since_ms is None:
            return
        if now_ms - trial.well_since_ms >= self._config.settle_s * 1000:
            self._trial = None
            self._feed(HealthPassed())

    def _watch(self) -> None:
        found = self._conditions(self._window) if self._is_watching else ConditionsChecked()
        if found.blocked:
            self._is_watching = False
            self._feed(ConditionsLost(found.blocked, found.retry_in_ms))

    def _is_well(self) -> bool:
        return self._has_contact and (self._box / PLAYER_READY).exists()

    def _failure(self, trial: _Trial, passed_ms: int) -> HealthFailed | None:
        """Return why the slot can not pass any more, None while it can."""
        if (lack := self._lacks_room()) is not None:
            # A disk that was full before the image began says nothing against the image.
            return HealthFailed(Reason.HEALTH_CHECK if trial.had_room else Reason.STORAGE, lack)
        is_late = passed_ms >= self._config.player_s * 1000
        if is_late and not (self._box / PLAYER_READY).exists():
            sentence = f"The media player is not ready after {self._config.player_s} s."
            return HealthFailed(Reason.HEALTH_CHECK, sentence)
        return None

    def _lacks_room(self) -> str | None:
        free = self._free_bytes(self._box)
        if free is None or free >= self._config.free_bytes_min:
            return None
        return f"Only {free} bytes are free; {self._config.free_bytes_min} are needed."


def utc(now_ms: int) -> datetime:
    """Return *now_ms* as aware UTC."""
    return datetime.fromtimestamp(now_ms / 1000, UTC)
