"""What a disk may hold after a power cut: the named modes.

Between a change and its fsync the medium may have any part of it, in any order. The
modes are the corners of that space, and random points in it:

============  ====================================  ==============================
mode          names (create, rename, unlink)        bytes (write, truncate)
============  ====================================  ==============================
keep_all      as they were                          as they were
lose_all      as of the last fsync of the folder    as of the last fsync
meta_first    as they were                          as of the last fsync
data_first    as of the last fsync of the folder    as they were
torn          as they were                          the last write half done
random        each as it was or as of its fsync     each sector as it was or not
============  ====================================  ==============================

Source: powerfail design, 4.3 and 4.5.
"""

from collections.abc import Mapping
from enum import StrEnum
from random import Random

from oleada_lab.sim.inode import PAGE_BYTES, SECTOR_BYTES, Inode, Pages, settled

Names = dict[str, Inode]


class Kept(StrEnum):
    """What of the changes that were not fsynced has reached the medium."""

    ALL = "keep_all"
    NONE = "lose_all"
    NAMES = "meta_first"
    BYTES = "data_first"
    TORN = "torn"
    RANDOM = "random"


NAMED = tuple(kept for kept in Kept if kept is not Kept.RANDOM)
"""The modes that need no dice."""


def crash(
    now: Mapping[str, Inode], durable: Mapping[str, Inode], kept: Kept, dice: Random
) -> Names:
    """Return the files that the next start finds, all of them settled.

    Args:
        now: Files by the names they have; folders have their share in both mappings.
        durable: Files by the names that the medium knows.
        dice: Asked by ``Kept.RANDOM`` alone.
    """
    if kept is Kept.RANDOM:
        return _random(now, durable, dice)
    names = durable if kept in {Kept.NONE, Kept.BYTES} else now
    newest = _last_written(now) if kept is Kept.TORN else None
    found = {}
    for path, inode in names.items():
        if kept in {Kept.NONE, Kept.NAMES}:
            found[path] = inode.synced()
        elif inode is newest:
            found[path] = settled(*inode.torn())
        else:
            found[path] = inode.written()
    return found


def _last_written(names: Mapping[str, Inode]) -> Inode | None:
    written = [(inode.last.at, path) for path, inode in names.items() if inode.last is not None]
    return names[max(written)[1]] if written else None


def _random(now: Mapping[str, Inode], durable: Mapping[str, Inode], dice: Random) -> Names:
    found = {}
    drawn: dict[int, Inode] = {}
    for path in sorted({*now, *durable}):
        inode = (now if dice.random() < 0.5 else durable).get(path)
        if now.get(path) is durable.get(path):
            inode = now.get(path)
        if inode is None:
            continue
        if id(inode) not in drawn:  # two names of one file show the same bytes
            drawn[id(inode)] = _some_sectors(inode, dice)
        found[path] = drawn[id(inode)].copy()
    return found


def _some_sectors(inode: Inode, dice: Random) -> Inode:
    grows = inode.size_bytes != inode.durable_bytes
    size_bytes = inode.size_bytes if not grows or dice.random() < 0.5 else inode.durable_bytes
    pages: Pages = inode.durable.copy()
    zeros = bytes(PAGE_BYTES)
    for number in sorted(inode.dirty):
        new, old = inode.pages.get(number, zeros), inode.durable.get(number, zeros)
        mixed = b"".join(
            (new if dice.random() < 0.5 else old)[at : at + SECTOR_BYTES]
            for at in range(0, PAGE_BYTES, SECTOR_BYTES)
        )
        pages[number] = mixed
    made = settled(pages, max(inode.size_bytes, inode.durable_bytes))
    made.resize(size_bytes)
    made.sync()
    return made
