"""The root of a wave that is a list, and the proofs of its boxes, without holding it in memory.

The tree is that of ``oleada_wire.cohort``, over device ids in order. Its hashes are kept as
they are, 32 bytes each: for a million boxes 64 MB while that wave is being assigned, where
the proofs themselves would be more than 2 GB.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from oleada_wire import merkle
from sqlalchemy import select

from oleada_server.db import db
from oleada_server.rollouts.models import BoxInWave

READ_AT_ONCE: Final = 5000
HASH: Final = merkle.HASH_BYTES
ID_BYTES: Final = 20
"""The longest id of a device; shorter ones are filled up, which keeps their order."""


class Tree:
    """The ids and the hashes of all levels, leaves first; each is one run of bytes.

    Args:
        device_ids: At least one; as Python sorts them, each once.
    """

    def __init__(self, device_ids: Iterable[str]) -> None:
        ids, leaves = bytearray(), bytearray()
        for device_id in device_ids:
            told = device_id.encode()
            ids += told.ljust(ID_BYTES, b"\0")
            leaves += merkle.leaf(told)
        assert leaves, "a list cohort names at least one device"  # noqa: S101 - our bug
        self._ids = bytes(ids)
        self._levels = [bytes(leaves)]
        while len(level := self._levels[-1]) > HASH:
            self._levels.append(_over(level))

    @property
    def root(self) -> str:
        """The root, 64 hex digits."""
        return self._levels[-1].hex()

    def proof(self, device_id: str) -> tuple[str, ...]:
        """Return the proof of *device_id*, one of the list, as ``cohort.merkle_proof`` has it."""
        index, found = self._place(device_id), []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling * HASH < len(level):
                side = "L" if sibling < index else "R"
                found.append(side + level[sibling * HASH : (sibling + 1) * HASH].hex())
            index //= 2
        return tuple(found)

    def _place(self, device_id: str) -> int:
        told = device_id.encode().ljust(ID_BYTES, b"\0")
        places = range(len(self._ids) // ID_BYTES)
        found = bisect_left(places, told, key=self._id_at)
        assert self._id_at(found) == told, "the boxes of a wave are fixed"  # noqa: S101
        return found

    def _id_at(self, place: int) -> bytes:
        return self._ids[place * ID_BYTES : (place + 1) * ID_BYTES]


def root_of(wave_id: int) -> str:
    """Return the root over the boxes of a wave; it has at least one."""
    return Tree(_ids(wave_id)).root


def of(root: str, wave_id: int, device_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the proofs of *device_ids*, boxes of a wave whose list has this *root*."""
    tree = _tree(root, wave_id)
    return {device_id: tree.proof(device_id) for device_id in device_ids}


@lru_cache(maxsize=1)
def _tree(root: str, wave_id: int) -> Tree:
    """Return the tree of a list wave; its boxes are fixed, and *root* stands for them all."""
    found = Tree(_ids(wave_id))
    assert found.root == root, "the boxes of a wave are fixed"  # noqa: S101
    return found


def _ids(wave_id: int) -> Iterator[str]:
    """Yield the boxes of a wave as Python sorts them, as they come from the database."""
    is_postgresql = db.session.get_bind().dialect.name == "postgresql"
    by_id = BoxInWave.device_id.collate("C" if is_postgresql else "BINARY")
    query = select(BoxInWave.device_id).where(BoxInWave.wave_id == wave_id).order_by(by_id)
    yield from db.session.scalars(query, execution_options={"yield_per": READ_AT_ONCE})


def _over(level: bytes) -> bytes:
    found = bytearray()
    for at in range(0, len(level), 2 * HASH):
        pair = level[at : at + 2 * HASH]
        found += merkle.node(pair[:HASH], pair[HASH:]) if len(pair) > HASH else pair
    return bytes(found)
