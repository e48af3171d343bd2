"""When a box asks for its next certificate, and the short-lived process that does it.

At two thirds of a certificate's life, or up to a sixth of it later: each box has a moment
of its own, so that boxes that were enrolled together do not renew together. A box whose
clock is dead does not know the moment; it asks when the broker has refused it a few times
in a row, and the server, whose clock is right, says whether it is due.
"""

import os
import signal
import ssl
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from oleada_agent import clock, identity, keypairs
from oleada_agent.disk import RealDisk
from oleada_agent.keypairs import Span
from oleada_agent.saying import say
from oleada_agent.timers import Timers

TIMER: Final = "renewal"
REFUSED_CODE: Final = 3
"""Exit code of ``oleada-agent renew`` when the server refuses."""
REFUSALS: Final = 3
"""Of the broker in a row, before a box whose certificate looks good asks for another."""
LOOK_MS: Final = 3_600_000
CHILD_LOOK_MS: Final = 500
CHILD_LIMIT_MS: Final = 300_000
BACKOFF_MS: Final = 5_000
BACKOFF_MAX_MS: Final = 3_600_000
REFUSED_MS: Final = 3_600_000
"""A refusal is for a person to mend, or a matter of days."""
REFUSED_MAX_MS: Final = 24 * 3_600_000
DOUBLINGS_MAX: Final = 16
DRAWS: Final = 1_000


def due_ms(span: Span, device_id: str) -> int:
    """Return from when on box *device_id* renews a certificate that is valid for *span*."""
    life_ms = span.ends_ms - span.begins_ms
    draw = zlib.crc32(f"{device_id} {span.begins_ms}".encode()) % DRAWS
    return span.begins_ms + life_ms * 2 // 3 + life_ms * draw // (6 * DRAWS)


def is_due(span: Span | None, device_id: str, now_ms: int, refusals: int) -> bool:
    """Return whether to renew at *now_ms*; the broker has refused *refusals* times in a row."""
    if refusals >= REFUSALS or span is None:
        return True
    return now_ms >= due_ms(span, device_id)


@dataclass(slots=True)
class Pace:
    """How long to wait between tries that fail, with full jitter."""

    below: Callable[[int], int]
    failures: int = 0

    def after_ms(self, code: int) -> int:
        """Return the pause after a try that ended with *code*."""
        if code == 0:
            self.failures = 0
            return LOOK_MS
        first_ms, most_ms = BACKOFF_MS, BACKOFF_MAX_MS
        if code == REFUSED_CODE:
            first_ms, most_ms = REFUSED_MS, REFUSED_MAX_MS
        ceiling_ms = min(most_ms, first_ms << min(self.failures, DOUBLINGS_MAX))
        self.failures += 1
        return ceiling_ms // 2 + self.below(ceiling_ms // 2 + 1)


class User(Protocol):
    """Whoever shows the box's certificate to others."""

    def use(self, context: ssl.SSLContext) -> None:
        """Show the certificate of *context* from now on."""
        ...


class Renewal:
    """Looks from time to time whether to renew, and sees to the process that does.

    Args:
        users: Told of each new certificate.
        now_ms: What time it is, as far as the box can know.
        timers: Its own timer is ``renewal``.
        spread_ms: The first look comes within this: after a blackout all boxes start at once.
        start: Starts the process and returns its id.
    """

    def __init__(
        self,
        box: Path,
        device_id: str,
        *,
        users: Sequence[User],
        now_ms: Callable[[], int],
        timers: Timers,
        spread_ms: int,
        start: Callable[[Path], int] | None = None,
    ) -> None:
        self._box = box
        self._device_id = device_id
        self._users = users
        self._now_ms = now_ms
        self._timers = timers
        self._start = start or start_child
        self._pace = Pace(clock.below)
        self._refusals = 0
        self._pid = 0
        self._until_ms = 0
        self._not_before_ms = 0
        timers.set(TIMER, clock.below(spread_ms + 1))

    def note(self, *, is_refused: bool) -> None:
        """Count a connection that the broker refused; one that it accepted ends the count."""
        self._refusals = self._refusals + 1 if is_refused else 0
        if self._refusals == REFUSALS and not self._pid:
            self._timers.set(TIMER, max(0, self._not_before_ms - clock.steady_ms()))

    def look(self) -> None:
        """Do what is due; called when its timer is."""
        if self._pid:
            self._look_after_child()
        elif clock.steady_ms() < self._not_before_ms:
            self._timers.set(TIMER, self._not_before_ms - clock.steady_ms())
        elif self._is_due():
            say("this box asks for its next certificate")
            self._pid = self._start(self._box)
            self._until_ms = clock.steady_ms() + CHILD_LIMIT_MS
            self._timers.set(TIMER, CHILD_LOOK_MS)
        else:
            self._timers.set(TIMER, LOOK_MS)

    def stop(self) -> None:
        """End the process, if there is one; what it was at is gone on with another time."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _is_due(self) -> bool:
        disk = RealDisk(self._box)
        span = keypairs.span(disk, keypairs.active(disk))
        return is_due(span, self._device_id, self._now_ms(), self._refusals)

    def _look_after_child(self) -> None:
        done, status = os.waitpid(self._pid, os.WNOHANG)
        if not done and clock.steady_ms() < self._until_ms:
            self._timers.set(TIMER, CHILD_LOOK_MS)
            return
        if not done:
            os.kill(self._pid, signal.SIGKILL)
            _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        code = os.waitstatus_to_exitcode(status)
        self._refusals = 0
        pause_ms = self._pace.after_ms(code)
        self._not_before_ms = clock.steady_ms() + (pause_ms if code else 0)
        self._timers.set(TIMER, pause_ms)
        if code != 0:
            say(f"no new certificate yet; again in {pause_ms / 1000:.1f} s")
            return
        say("this box has a new certificate")
        context = identity.tls_context(self._box)
        for user in self._users:
            user.use(context)


def start_child(box: Path) -> int:
    """Start ``oleada-agent renew`` of *box* as this agent was started; return its id."""
    ours = len(sys.orig_argv) - len(sys.argv) + 1
    command = [*sys.orig_argv[1:ours], "renew", "--box", str(box)]
    return os.posix_spawn(sys.executable, [sys.executable, *command], os.environ)
