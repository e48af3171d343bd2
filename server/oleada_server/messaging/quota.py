"""How much one box may say: a pure bucket for each box; no clock, no database.

Each box has two buckets, so that telemetry never uses up what its verdicts need: one for
what matters (hello, lease, report, result), one for the rest. A bucket takes *burst*
messages at once and *per_minute* for ever; a message larger than 4 KiB counts once for
each 4 KiB begun, and one that is packed by what it usually unpacks to. Nobody else's
bucket is touched, and a bucket that is whole again is forgotten: memory is that of the
boxes that spoke lately.
Source: the generic cell rate algorithm (ITU-T I.371, annex A), one number a bucket.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from oleada_wire.topics import Up

VITAL: Final = frozenset(map(str, (Up.HELLO, Up.LEASE, Up.REPORT, Up.RESULT)))
"""Kinds that telemetry can not crowd out; beyond their quota the box asks or sends again."""
UNIT_BYTES: Final = 4096
PACKED_WEIGHT: Final = 16
"""A box's looks become so much larger when they are unpacked."""
WINDOW: Final = 20
"""Room that a pause waits for: as many messages as an agent has under way at a time."""
TELL_EVERY_S: Final = 60.0
HAIR: Final = 1e-3
"""Of a message."""
_PACKED: Final = f"/{Up.SAMPLES}"
FORGET_FROM: Final = 1024
"""Buckets below which nobody looks for ones that are whole again."""


@dataclass(slots=True)
class _Excess:
    """Messages of one box beyond its quota since *told_s*; None before it was first told."""

    messages: int = 0
    told_s: float | None = None


class Quota:
    """Every box's buckets, of one worker.

    Args:
        per_minute: Messages that a box may go on sending, of each class.
        burst: Messages that it may send at once after a silence.
    """

    def __init__(self, per_minute: int, burst: int) -> None:
        self._unit_s = 60.0 / per_minute
        # A hair more: a hundred small sums of floats are not quite a hundred times one.
        self._burst_s = (burst + HAIR) * self._unit_s
        self._room_s = min(WINDOW, burst) * self._unit_s
        self._empty_until: dict[str, float] = {}
        self._forget_at = FORGET_FROM
        self._excess: dict[str, _Excess] = {}

    def __len__(self) -> int:
        return len(self._empty_until)

    def admit(self, topic: str, size_bytes: int, now_s: float) -> bool:
        """Return whether a message on *topic* is within its box's quota, and count it.

        Args:
            topic: ``oleada/v1/d/<device-id>/up/<kind>``; the broker's filter lets no other in.
            size_bytes: Of the payload.
            now_s: Of a clock that never jumps.
        """
        name = _bucket(topic)
        weight = PACKED_WEIGHT if topic.endswith(_PACKED) else 1
        cost_s = self._unit_s * max(1, -(-size_bytes * weight // UNIT_BYTES))
        until_s = max(self._empty_until.get(name, now_s), now_s) + cost_s
        if until_s - now_s > self._burst_s:
            self._excess.setdefault(device_of(topic), _Excess()).messages += 1
            return False
        self._empty_until[name] = until_s
        if len(self._empty_until) > self._forget_at:
            self._forget(now_s)
        return True

    def pause_s(self, topic: str, now_s: float) -> int:
        """Return after how many seconds, at least 1, the bucket of *topic* has room for some."""
        until_s = self._empty_until.get(_bucket(topic), now_s)
        return max(1, math.ceil(until_s + self._room_s - self._burst_s - now_s))

    def untold(self, now_s: float) -> dict[str, int]:
        """Return by device id how many messages too many nobody was told of and should be now.

        A box is told of at once, then once a minute for as long as it goes on.
        """
        return {
            device_id: one.messages
            for device_id, one in self._excess.items()
            if one.messages and (one.told_s is None or now_s - one.told_s >= TELL_EVERY_S)
        }

    def told(self, found: Mapping[str, int], now_s: float) -> None:
        """Take it that *found*, which :meth:`untold` has returned, was told of."""
        for device_id, number in found.items():
            one = self._excess[device_id]
            one.messages, one.told_s = one.messages - number, now_s
        for device_id in [d for d, one in self._excess.items() if _is_over(one, now_s)]:
            del self._excess[device_id]

    def _forget(self, now_s: float) -> None:
        self._empty_until = {
            name: until_s for name, until_s in self._empty_until.items() if until_s > now_s
        }
        self._forget_at = max(FORGET_FROM, 2 * len(self._empty_until))


def device_of(topic: str) -> str:
    """Return the device id in ``oleada/v1/d/<device-id>/up/<kind>``."""
    return topic.split("/", 4)[3]


def is_vital(topic: str) -> bool:
    """Return whether *topic* is of a kind that telemetry can not crowd out."""
    return topic.rpartition("/")[2] in VITAL


def _bucket(topic: str) -> str:
    """Return the name of the bucket that a message on *topic* comes out of."""
    head, _, kind = topic.rpartition("/")
    return f"{head}!" if kind in VITAL else head


def _is_over(one: _Excess, now_s: float) -> bool:
    return not one.messages and one.told_s is not None and now_s - one.told_s >= TELL_EVERY_S
