"""Many cases on several processors; each process takes every n-th case."""

from concurrent.futures import ProcessPoolExecutor

from oleada_lab.fuzz.trust import Tally, play

MEMORY_KIB_MAX = 32 * 1024
"""By so much a process may grow after its first cases: the largest input, a few times."""
PART = 5_000
"""Cases in a span: small enough that no processor waits long for the others."""


def run(seed: int, count: int, jobs: int) -> Tally:
    """Return what the cases 0 to *count* - 1 of *seed* come to, on *jobs* processors."""
    spans = [range(begin, min(begin + PART, count)) for begin in range(0, count, PART)]
    total = Tally()
    if jobs == 1:
        for span in spans:
            total.add(play(seed, span))
        return total
    with ProcessPoolExecutor(jobs) as pool:
        for tally in pool.map(play, [seed] * len(spans), spans):
            total.add(tally)
    return total


def is_met(tally: Tally) -> bool:
    """Return whether nothing crashed, nothing was trusted in error, and memory was bounded."""
    return not tally.failures and tally.grown_kib <= MEMORY_KIB_MAX
