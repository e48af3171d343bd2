"""Which boxes a plan covers, wave by wave, and why the others are left out.

The preview and the start of a rollout ask the same object, so what a person was shown is
what is stored, as long as the fleet and the salt are the same. Boxes that are alike are
decided about together (:mod:`alike`).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import select

from oleada_server.db import chunks, db
from oleada_server.devices.models import Device
from oleada_server.releases.models import Release
from oleada_server.rollouts import alike, groups
from oleada_server.rollouts.alike import Alike, Questions, Range
from oleada_server.rollouts.choosing import Member, evenest, fits, wave_of
from oleada_server.rollouts.cover import BoxKind
from oleada_server.rollouts.eligible import MATTER_OF_PLANNING, LeftOut, failing, why_not
from oleada_server.rollouts.preview import (
    Preview,
    WavePreview,
    candidates,
    named_groups,
    needs_of,
)
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec

SALT_TRIAL_BOXES_MAX: Final = 2000
"""Up to this fleet the best of the drawn salts is taken; beyond it chance is even enough."""

Draws = Mapping[int, bytes | None]


@dataclass(slots=True)
class Tally:
    """What was counted of the boxes of a model.

    *left_out* counts boxes by the first reason, *gains* those that nothing else keeps out.
    """

    left_out: Counter[LeftOut] = field(default_factory=Counter)
    gains: Counter[LeftOut] = field(default_factory=Counter)


class Covered:
    """Which boxes a plan covers now: asked of the database, never held as a whole.

    Args:
        spec: As planned.
        release: What its boxes are to get.
        salt: What draws its boxes.
        draws: Who was drawn for waves by number, as :attr:`draws` said before; else they are
            drawn now, when they are asked for.

    Raises:
        NoSuchGroupError: A wave names a group that is not there.
    """

    def __init__(
        self, spec: RolloutSpec, release: Release, salt: str, draws: Draws | None = None
    ) -> None:
        self._needs = needs_of(release, spec.rules.back_from)
        named = groups.Named.of(named_groups(spec.waves))
        self.asked = Questions(release.hardware_model, salt, spec.waves, named, draws or {})
        if draws is None:
            self._draw()

    def alike(
        self, within: Range | None = None, tally: Tally | None = None
    ) -> Iterator[tuple[int, Alike]]:
        """Yield boxes that are covered with the place of their wave; *tally* counts the others."""
        for some in alike.counted(self.asked, within or Range()):
            reasons = list(failing(some.candidate, self._needs))
            at = None if reasons else self.wave_of(some)
            if at is not None:
                yield at, some
            elif tally is not None:
                first, *more = reasons or [LeftOut.NO_WAVE]
                tally.left_out[first] += some.boxes
                if not more and first in MATTER_OF_PLANNING:
                    tally.gains[first] += some.boxes

    def wave_of(self, some: Alike) -> int | None:
        """Return the place of the wave that takes boxes like *some*, from 0; None for none."""
        if why_not(some.candidate, self._needs) is not None:
            return None
        return wave_of(self.asked.waves, some.candidate.kind, some.marks)

    def _draw(self) -> None:
        """Find who is drawn for each wave by number, of those that no wave before it takes."""
        for at, wave in enumerate(self.asked.waves):
            if wave.count is None:
                continue
            left = [
                some
                for some in alike.counted(self.asked)
                if why_not(some.candidate, self._needs) is None
                and wave_of(self.asked.waves[:at], some.candidate.kind, some.marks) is None
                and fits(wave, some.candidate.kind)
            ]
            last = None
            if sum(some.boxes for some in left) > wave.count:
                last = alike.drawn(self.asked, [some.key for some in left], wave.count)
            self.asked = replace(self.asked, draws={**self.asked.draws, at: last})


def shown(spec: RolloutSpec, release: Release, salts: Sequence[str]) -> Preview:
    """Return what *spec* covers, as a person is shown it; the salt is *spec*'s or one of *salts*.

    Raises:
        NoSuchGroupError: A wave names a group that is not there.
    """
    covered = Covered(spec, release, salt_of(spec, release, salts))
    tally = Tally()
    kinds: list[Counter[BoxKind]] = [Counter() for _ in spec.waves]
    for at, some in covered.alike(tally=tally):
        kinds[at][some.candidate.kind] += some.boxes
    tally.left_out[LeftOut.OTHER_MODEL] = _strangers(spec.waves, release.hardware_model)
    together = sum(kinds, Counter())
    return Preview(
        release.hardware_model,
        release.version,
        release.size_bytes,
        covered.asked.salt,
        tuple(
            WavePreview(wave.name, found.total(), _by(found, lambda kind: kind.version))
            for wave, found in zip(spec.waves, kinds, strict=True)
        ),
        _counted(tally.left_out),
        together.total(),
        _by(together, lambda kind: kind.zone or "UTC"),
        _by(together, lambda kind: kind.region),
        _counted(tally.gains),
    )


def salt_of(spec: RolloutSpec, release: Release, salts: Sequence[str]) -> str:
    """Return the salt of *spec*, or the first of *salts*; in a small fleet the evenest.

    Raises:
        NoSuchGroupError: A wave names a group that is not there.
    """
    if spec.salt:
        return spec.salt
    named, model = named_groups(spec.waves), release.hardware_model
    groups.Named.of(named)
    if len(salts) == 1 or not _is_small(model):
        return salts[0]
    needs = needs_of(release, spec.rules.back_from)
    may = [
        Member(one.device_id, one.kind)
        for one in candidates(model, named)
        if why_not(one, needs) is None
    ]
    return evenest(spec.waves, may, salts)


def _strangers(waves: Sequence[WaveSpec], hardware_model: str) -> int:
    """Return how many boxes that *waves* list are unknown, or of another model."""
    listed = {device_id for wave in waves for device_id in wave.device_ids or ()}
    known = 0
    for chunk in chunks(listed):
        query = select(Device.id).where(Device.hardware_model == hardware_model)
        known += len(db.session.scalars(query.where(Device.id.in_(chunk))).all())
    return len(listed) - known


def _is_small(hardware_model: str) -> bool:
    query = select(Device.id).where(Device.hardware_model == hardware_model)
    return db.session.scalar(query.offset(SALT_TRIAL_BOXES_MAX).limit(1)) is None


def _by(kinds: Counter[BoxKind], name: Callable[[BoxKind], str | None]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for kind, boxes in kinds.items():
        found[name(kind) or ""] += boxes
    return dict(found)


def _counted(found: Counter[LeftOut]) -> dict[LeftOut, int]:
    """Return *found* in the order of the rules, without those that left nobody out."""
    return {reason: found[reason] for reason in LeftOut if found[reason]}
