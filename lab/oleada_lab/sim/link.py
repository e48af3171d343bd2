"""The line of one household: delay, loss, rate, and the ways in which lines die.

A link carries the bytes of a TCP connection, so what is lost is sent again and comes
later, in order; a message never comes without the ones before it. What TCP can not mend
ends the connection, or leaves it half open, where both ends believe in it until their
keepalive says otherwise. Everything drawn comes from the link's own stream.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from oleada_lab.sim.world import Dice

SEGMENT_BYTES: Final = 1_400
RETRY_MS: Final = 200
"""TCP's least pause before it sends a segment again (RFC 6298 as Linux has it)."""
RETRIES_MAX: Final = 8
"""So many losses of one segment in a row last 51 s; a keepalive has ended it by then."""


class Way(StrEnum):
    """The direction of a message, seen from the household."""

    UP = "up"
    DOWN = "down"


class DeadError(Exception):
    """The connection has ended; both ends know at once."""


class SilentError(Exception):
    """The bytes vanish, and nobody is told."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Loss in bursts (Gilbert and Elliott): two states, each with its loss.

    Attributes:
        begin, end: Chance for each segment that a burst begins, or ends.
        loss_in, loss_out: Of segments in a burst and outside.
    """

    begin: float
    end: float
    loss_in: float
    loss_out: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What a line is like when nothing is wrong with it.

    Attributes:
        rtt_ms: There and back; each message draws up to *jitter_ms* more or less.
        loss: Share of segments that are sent again.
        blackhole_over: Messages of more bytes never arrive, because somebody drops large
            packets and their errors; None for never.
        nat_timeout_ms: A connection that is idle for longer is forgotten on the way.
    """

    rtt_ms: int = 40
    jitter_ms: int = 15
    loss: float = 0.0
    burst: Burst | None = None
    rate_bytes_per_s: int = 1_000_000
    blackhole_over: int | None = None
    nat_timeout_ms: int | None = None


HOME: Final = Profile()


@dataclass(slots=True)
class SimLink:
    """One line, and what is wrong with it now.

    Attributes:
        is_cut: There is no carrier: connections end, new ones fail at once.
        has_names: Names are found; without them only what is connected goes on.
        silent: Directions in which everything vanishes.
        limit_bytes: The connection dies after so many more; None for never.
        slowdown: Divides the rate: a metered line, or somebody who watches in 4K.
    """

    dice: Dice
    profile: Profile = HOME
    is_cut: bool = False
    has_names: bool = True
    silent: tuple[Way, ...] = ()
    limit_bytes: int | None = None
    slowdown: int = 1
    _in_burst: bool = False
    _busy_until_ms: dict[Way, int] = field(default_factory=dict)
    _arrived_ms: dict[Way, int] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether nothing that can happen on it ends a connection."""
        return not self.is_cut and not self.silent and self.limit_bytes is None

    def connect_ms(self) -> int:
        """Return how long TCP, TLS and CONNECT take: four round trips.

        Raises:
            DeadError: there is no carrier.
            SilentError: no answer comes.
        """
        if self.is_cut or not self.has_names:
            raise DeadError("no carrier" if self.is_cut else "no address")
        if self.silent:
            raise SilentError("no answer")
        self.forget_connection()
        return 4 * self._rtt_ms() + self._loss_ms(4)

    def forget_connection(self) -> None:
        """Take note that the bytes under way are gone with their connection."""
        self._busy_until_ms.clear()
        self._arrived_ms.clear()

    def carry(self, size_bytes: int, way: Way, now_ms: int, idle_ms: int = 0) -> int:
        """Return in how many ms a message of *size_bytes* arrives.

        Args:
            idle_ms: How long the connection has carried nothing, its pings counted.

        Raises:
            DeadError: the connection ends instead.
            SilentError: it vanishes, and so does everything behind it.
        """
        profile = self.profile
        if self.is_cut:
            raise DeadError("no carrier")
        if way in self.silent:
            raise SilentError(f"nothing goes {way}")
        if profile.nat_timeout_ms is not None and idle_ms > profile.nat_timeout_ms:
            raise SilentError("forgotten on the way")
        if profile.blackhole_over is not None and size_bytes > profile.blackhole_over:
            raise SilentError("too large for somebody on the way")
        if self.limit_bytes is not None:
            self.limit_bytes -= size_bytes
            if self.limit_bytes < 0:
                self.limit_bytes = None
                raise DeadError("reset")
        on_line_ms = size_bytes * 1000 * self.slowdown // profile.rate_bytes_per_s
        sent_ms = max(now_ms, self._busy_until_ms.get(way, 0)) + on_line_ms
        self._busy_until_ms[way] = sent_ms
        late_ms = self._rtt_ms() // 2 + self._loss_ms(1 + size_bytes // SEGMENT_BYTES)
        arrives_ms = max(sent_ms + late_ms, self._arrived_ms.get(way, 0))
        self._arrived_ms[way] = arrives_ms
        return arrives_ms - now_ms

    def _rtt_ms(self) -> int:
        profile = self.profile
        if not profile.jitter_ms:
            return profile.rtt_ms
        return max(1, profile.rtt_ms + self.dice.below(2 * profile.jitter_ms + 1)
                   - profile.jitter_ms)  # fmt: skip

    def _loss_ms(self, segments: int) -> int:
        """Return what sending again costs; segments beyond 64 share their luck."""
        if not self.profile.loss and self.profile.burst is None:
            return 0
        waits_ms = 0
        for _ in range(min(segments, 64)):
            pause_ms = RETRY_MS
            for _ in range(RETRIES_MAX):
                if self.dice.share() >= self._loss_now():
                    break
                waits_ms += pause_ms
                pause_ms *= 2
            else:
                raise DeadError("timed out")
        return waits_ms

    def _loss_now(self) -> float:
        burst = self.profile.burst
        if burst is None:
            return self.profile.loss
        draw = self.dice.share()
        self._in_burst = draw >= burst.end if self._in_burst else draw < burst.begin
        return burst.loss_in if self._in_burst else burst.loss_out
