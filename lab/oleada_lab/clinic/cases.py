"""The cases: which home has which fault, drawn from a seed; even seeds teach, odd seeds judge.

Each fault has its turn; in a share of the cases a second one is there too, which the same
caller may have meant. Some values are missing: this model does not report them, or the
household does not know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from oleada_lab.clinic.bed import Bed, healthy
from oleada_lab.clinic.faults import FAULTS, Fault
from oleada_lab.media.player import Player

TWO_SHARE: Final = 0.25
ABSENT_SHARE: Final = 0.06
"""Of what a player says: this model does not report it."""
UNKNOWN_SHARE: Final = 0.08
"""Of the questions: the household does not know."""
SENSORS_SHARE: Final = 0.08
"""Of boxes without each of the sensors that a model may lack."""
TEACHES_FROM: Final = 0
JUDGES_FROM: Final = 1


@dataclass(frozen=True, slots=True)
class Case:
    """One home of the set, made anew of its seed whenever it is asked for.

    Attributes:
        faults: Names, the one whose turn it is first; none for a home that is well.
        symptom: What the caller names.
    """

    seed: int
    faults: tuple[str, ...]
    symptom: str

    @property
    def causes(self) -> frozenset[str]:
        """What is truly wrong."""
        return frozenset(cause for name in self.faults for cause in FAULTS[name].causes)

    def bed(self) -> Bed:
        """Return the home with its faults, and with what its model does not report."""
        dice = Random(f"bed {self.seed}")
        bed = healthy(dice)
        for name in self.faults:
            FAULTS[name].change(bed, dice)
        for sensor in ("has_heat", "has_wear", "has_iw"):
            setattr(bed.facts, sensor, dice.random() >= SENSORS_SHARE)
        names = sorted(path.split("STBService.1.", 1)[1] for path in Player().status())
        bed.player.absent = frozenset(
            name for name in names if dice.random() < ABSENT_SHARE and "Standby" not in name
        )
        for question in sorted(bed.said):
            if dice.random() < UNKNOWN_SHARE:
                del bed.said[question]
        return bed


def cases(count: int, first_seed: int, only: Sequence[str] | None = None) -> list[Case]:
    """Return *count* cases of every second seed from *first_seed* on, of faults *only* if given."""
    order = sorted(only or FAULTS)
    return [case(first_seed + 2 * number, order[number % len(order)]) for number in range(count)]


def case(seed: int, first: str) -> Case:
    """Return the case of *seed* in which the fault *first* has its turn."""
    dice = Random(f"case {seed}")
    found = FAULTS[first]
    symptom = dice.choice(found.symptoms)
    faults = [first]
    others = sorted(other.id for other in FAULTS.values() if _goes_with(found, other, symptom))
    if others and dice.random() < TWO_SHARE:
        faults.append(dice.choice(others))
    return Case(seed, tuple(faults), symptom)


def well(seed: int) -> Case:
    """Return a home without a fault, of which nobody has complained."""
    return Case(seed, (), "unsaid")


def _goes_with(one: Fault, other: Fault, symptom: str) -> bool:
    """Return whether *other* can be there beside *one*, and the caller mean it too."""
    if one.is_alone or other.is_alone or one.part == other.part or symptom not in other.symptoms:
        return False
    return {one.part, other.part} != {"wifi", "cable"} and not set(one.causes) & set(other.causes)
