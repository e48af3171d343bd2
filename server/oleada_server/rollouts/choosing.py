"""Which wave of a plan takes a box, box by box, so that nobody ever holds a whole fleet.

Pure. A box is in the first wave that takes it. A share looks at its place alone, a list
and a filter at the box; boxes that are drawn by number have to be known beforehand, and
are found by one walk over the fleet for each such wave.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

from oleada_wire.cohort import SHARE_PARTS, place

from oleada_server.rollouts.cover import BoxKind, matches
from oleada_server.rollouts.plan import exact
from oleada_server.rollouts.spec import WaveSpec


@dataclass(frozen=True, slots=True)
class Member:
    """A box that a wave covers, or may cover."""

    device_id: str
    kind: BoxKind

    @property
    def version(self) -> str:
        """Return the version that it runs before."""
        return self.kind.version or ""


@dataclass(frozen=True, slots=True)
class Marks:
    """How boxes that are alike stand to the shares, lists and draws of a plan.

    Attributes:
        under: The least share of the plan that covers their places, in ten-thousandths;
            more than any where none does.
        named: The waves, by their places from 0, that list them or have drawn them.
    """

    under: int
    named: frozenset[int] = field(default_factory=frozenset)


Takes = Callable[[Member], bool]
Walk = Callable[[], Iterable[Member]]
"""Walks over every box that may have the release, in the order of ids; again at each call."""


def chooser(waves: Sequence[WaveSpec], salt: str, walk: Walk) -> Callable[[Member], int | None]:
    """Return what says the place, from 0, of the wave that takes a box; None for none."""
    found: list[Takes] = []
    place_of = lru_cache(maxsize=1)(partial(place, salt))  # a box is asked about wave by wave

    def wave_of(member: Member) -> int | None:
        return next((at for at, takes in enumerate(found) if takes(member)), None)

    for wave in waves:
        if wave.count is None:
            found.append(_taker(wave, place_of))
        else:
            drawn = _drawn(wave, wave.count, salt, (m for m in walk() if wave_of(m) is None))
            found.append(lambda member, drawn=drawn: member.device_id in drawn)  # type: ignore[misc] # bound now
    return wave_of


def wave_of(waves: Sequence[WaveSpec], kind: BoxKind, marks: Marks) -> int | None:
    """Return the place, from 0, of the wave that takes boxes of *kind* with *marks*; or None.

    What :func:`chooser` says of each of them.
    """
    return next((at for at, wave in enumerate(waves) if _takes(wave, at, kind, marks)), None)


def fits(wave: WaveSpec, kind: BoxKind) -> bool:
    """Return whether the filter of *wave*, if it has one, is true of *kind*."""
    return wave.where is None or matches(wave.where, kind)


def place_prefix(salt: str) -> bytes:
    """Return what stands before a box's id in what its place is the digest of."""
    return f"{salt}\x00".encode()


def draw_prefix(salt: str) -> bytes:
    """Return what stands before a box's id in what orders boxes that are drawn by number."""
    return f"{salt}\x00count\x00".encode()


def share_parts(share_until: float | None) -> int:
    """Return a cumulative share as the wire carries it: 0 to 10 000, 0 for a list."""
    return 0 if share_until is None else int(exact(share_until) * SHARE_PARTS)


def evenest(waves: Sequence[WaveSpec], members: Sequence[Member], salts: Sequence[str]) -> str:
    """Return the salt under which the waves come out closest to their shares.

    In a small fleet chance alone would often leave a first wave of 5 % empty.
    """

    def unevenness(salt: str) -> tuple[int, float]:
        wave_of = chooser(waves, salt, lambda: members)
        sizes = [0] * len(waves)
        for member in members:
            if (at := wave_of(member)) is not None:
                sizes[at] += 1
        before = 0.0
        off = 0.0
        for wave, size in zip(waves, sizes, strict=True):
            if wave.share_until is not None:
                off += abs(size - (wave.share_until - before) * len(members))
                before = wave.share_until
        return sizes.count(0), off

    return min(salts, key=unevenness)


def _takes(wave: WaveSpec, at: int, kind: BoxKind, marks: Marks) -> bool:
    if wave.share_until is not None:
        return marks.under <= share_parts(wave.share_until)
    if wave.device_ids is not None or wave.count is not None:
        return at in marks.named and fits(wave, kind)
    return fits(wave, kind)


def _taker(wave: WaveSpec, place_of: Callable[[str], int]) -> Takes:
    if wave.share_until is not None:
        parts = share_parts(wave.share_until)
        return lambda member: place_of(member.device_id) < parts
    if wave.device_ids is not None:
        listed = frozenset(wave.device_ids)
        return lambda member: member.device_id in listed
    where = wave.where
    assert where is not None, "a wave is a share, a list, a number or a filter"  # noqa: S101
    return lambda member: matches(where, member.kind)


def _drawn(wave: WaveSpec, count: int, salt: str, left: Iterable[Member]) -> frozenset[str]:
    where = wave.where
    fit = (one.device_id for one in left if where is None or matches(where, one.kind))
    return frozenset(heapq.nsmallest(count, fit, key=lambda device_id: _draw(salt, device_id)))


def _draw(salt: str, device_id: str) -> bytes:
    """Return what orders boxes that are drawn by number; finer than a place, and another order."""
    return hashlib.sha256(draw_prefix(salt) + device_id.encode()).digest()
