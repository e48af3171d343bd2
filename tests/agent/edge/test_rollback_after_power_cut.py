"""Rollback, tried after every crash state of a metadata refresh: what was trusted is never less.

A box trusts the second generation of a repository and refreshes to the third. The plug is
pulled after each operation of the disk, in each way to lose what was not synced; then an
attacker serves older generations, validly signed. Stock clients that never sync fail this
(trust design 0.2), and so does this one when its disk is deaf to fsync.
"""

from collections.abc import Iterator
from datetime import timedelta
from random import Random

import pytest
from oleada_agent.trust.client import BOX, TrustedClient
from oleada_agent.trust.errors import RollbackError, TrustError
from oleada_agent.trust.floor import TimeFloor
from oleada_agent.trust.store import SECOND_COPY, MetadataStore
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import SimDisk

from tests.agent.edge.repository import MODEL, NOON, Repository

FOLDER = "data/trust"
SECOND = f"{FOLDER}/{SECOND_COPY}"
NOON_MS = int(NOON.timestamp() * 1000)
DAY_MS = int(timedelta(days=1).total_seconds() * 1000)
RANDOM_DRAWS = 2

Generations = list[dict[str, bytes]]


@pytest.fixture(scope="module")
def generations() -> Generations:
    """Three generations of one repository; each has a newer version of every role."""
    repository = Repository()
    found = [dict(repository.files)]
    for _ in range(2):
        repository.publish("root", "targets", MODEL)
        found.append(dict(repository.files))
    return found


def refresh(disk: SimDisk, files: dict[str, bytes]) -> TrustedClient:
    """Let a box that has just started read *files*."""
    client = TrustedClient(MetadataStore(disk, FOLDER), lambda name, _: files.get(name), NOON, BOX)
    client.refresh()
    client.role(MODEL)
    return client


def a_box(generations: Generations) -> SimDisk:
    """Return the disk of a box that trusts the second generation since long ago."""
    disk = SimDisk()
    MetadataStore(disk, FOLDER).write("root", generations[0]["1.root.json"])
    refresh(disk, generations[1])
    TimeFloor(disk, FOLDER).raise_to(NOON_MS)
    disk.settle()
    return disk


def crash_states(disk: SimDisk, generations: Generations) -> Iterator[tuple[str, SimDisk]]:
    """Yield every disk that a cut of the refresh may leave, with what was done before it."""
    moments: list[tuple[str, SimDisk]] = []
    disk.watch = lambda op: moments.append((f"{op.kind} {op.path}", disk.fork()))
    refresh(disk, generations[2])
    TimeFloor(disk, FOLDER).raise_to(NOON_MS + DAY_MS)
    disk.watch = None
    for number, (what, moment) in enumerate(moments):
        for kept in Kept:
            for draw in range(RANDOM_DRAWS if kept is Kept.RANDOM else 1):
                yield f"{number} {what} {kept} {draw}", moment.after_cut(kept, Random(draw))


def believed(disk: SimDisk, files: dict[str, bytes]) -> bool:
    try:
        refresh(disk.fork(), files)
    except TrustError:
        return False
    return True


def lowered(disk: SimDisk, generations: Generations) -> list[str]:
    """Return the crash states in which the first generation is believed, or time has fallen."""
    wrong = []
    for what, left in crash_states(disk, generations):
        if believed(left, generations[0]):
            wrong.append(f"{what}: the first generation is believed")
        if TimeFloor(left.fork(), FOLDER).floor_ms < NOON_MS:
            wrong.append(f"{what}: the time floor has fallen")
    return wrong


def test_after_no_cut_of_a_refresh_is_an_older_repository_believed(
    generations: Generations,
) -> None:
    """The floor of what was trusted, and that of time, hold in every crash state."""
    assert lowered(a_box(generations), generations) == []


def test_after_every_cut_of_a_refresh_the_box_goes_on_to_the_newest(
    generations: Generations,
) -> None:
    states = list(crash_states(a_box(generations), generations))

    assert len(states) > 300
    for what, left in states:
        client = refresh(left, generations[2])
        assert client.root.document.version == 3, what
        assert not believed(left, generations[1]), what


def test_when_a_refresh_has_returned_no_cut_takes_it_back(generations: Generations) -> None:
    disk = a_box(generations)
    refresh(disk, generations[2])

    for kept in Kept:
        left = disk.after_cut(kept, Random(1))
        with pytest.raises(RollbackError):
            refresh(left, generations[1])


def test_one_copy_that_is_lost_lowers_nothing(generations: Generations) -> None:
    for place in (FOLDER, SECOND):
        disk = a_box(generations)
        for name in disk.list(place):
            if name.endswith(".json"):
                disk.unlink(f"{place}/{name}")

        assert not believed(disk, generations[0]), place


def test_a_disk_that_is_deaf_to_fsync_is_noticed(generations: Generations) -> None:
    disk = a_box(generations)
    # Not to the root: a box that has lost its root believes nobody at all any more.
    roles = ("timestamp", "snapshot", "targets", MODEL)
    disk.deaf_to = tuple(f"{place}/{role}" for place in (FOLDER, SECOND) for role in roles)

    assert any("the first generation is believed" in state for state in lowered(disk, generations))
