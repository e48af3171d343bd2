"""A whole run of the labelled set: some beds at a time, one server, every case its own box."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from oleada_lab.clinic.cases import Case
from oleada_lab.clinic.round import Ended, play
from oleada_lab.clinic.ward import NEIGHBOURS, VERSIONS, Ward
from oleada_lab.errors import LabError
from oleada_lab.real.tools import missing

BEDS: Final = 4
TRIES: Final = 2
OLDER: Final = "0.9.0"
"""What the neighbours run who are no firmware's: as many as of the boxes' own."""
TOOLS: Final = ("mountns", "netns")


def run(home: Path, cases: Sequence[Case], beds: int, say: Callable[[str], None]) -> list[Ended]:
    """Live every case of *cases* in one ward, *beds* at a time; returns them in their order.

    Raises:
        LabError: This machine can not do it, or a box did not come even the second time.
    """
    demand_tools()
    with Ward.open(home) as ward:
        free: SimpleQueue[int] = SimpleQueue()
        for number in range(beds):
            ward.neighbours(f"HOME{number:04d}", NEIGHBOURS, f"Region {number}", VERSIONS[0])
            free.put(number)
        ward.neighbours("OLDER000", NEIGHBOURS * beds, "Elsewhere", OLDER)

        def live(case: Case) -> Ended:
            bed = free.get()
            try:
                found = _tried(ward, case, bed, say)
            finally:
                free.put(bed)
            say(f"seed {case.seed}: {', '.join(case.faults) or 'well'}: {', '.join(found.named)}")
            return found

        with ThreadPoolExecutor(beds) as pool:
            return list(pool.map(live, cases))


def demand_tools() -> None:
    """Pass if this machine can give boxes rooms and networks of their own.

    Raises:
        LabError: It can not; says what to type.
    """
    if why := missing(*TOOLS):
        raise LabError(f"Real boxes in rooms of their own can not be played. {why}")


def _tried(ward: Ward, case: Case, bed: int, say: Callable[[str], None]) -> Ended:
    """Play *case*; once more with another box if the machine was too busy for the first."""
    for _ in range(TRIES - 1):
        try:
            return play(ward, case, bed)
        except LabError as error:
            say(f"seed {case.seed}: again, because {error}")
    return play(ward, case, bed)


def tell(line: str) -> None:
    """Say *line* apart from JSON."""
    print(line, file=sys.stderr, flush=True)
