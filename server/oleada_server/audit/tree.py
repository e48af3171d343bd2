"""The Merkle tree over the audit trail (RFC 9162, 2.1): pure, one leaf at a time.

Only the right edge is kept, at most 64 hashes however long the trail is, so that a head
of a million entries costs what those added since the last head cost.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

EMPTY_SHA256: Final = sha256(b"").hexdigest()


class Tree:
    """A tree that grows at its right end.

    Args:
        size: How many leaves it has.
        edge: The roots of its perfect subtrees, largest first, as hex; see :attr:`edge`.
    """

    def __init__(self, size: int = 0, edge: Iterable[str] = ()) -> None:
        self.size = size
        self._edge = [bytes.fromhex(one) for one in edge]
        if len(self._edge) != size.bit_count():
            raise ValueError(f"A tree of {size} leaves has {size.bit_count()} perfect subtrees.")

    @property
    def edge(self) -> list[str]:
        """The roots of its perfect subtrees, largest first: all that is needed to go on."""
        return [one.hex() for one in self._edge]

    def add(self, entry_sha256: str) -> None:
        """Add the entry with this hash as the next leaf."""
        node = sha256(b"\x00" + bytes.fromhex(entry_sha256)).digest()
        left = self.size
        while left & 1:  # two subtrees of one size become one of twice that
            node = sha256(b"\x01" + self._edge.pop() + node).digest()
            left >>= 1
        self._edge.append(node)
        self.size += 1

    def root_sha256(self) -> str:
        """Return the root over all leaves; 64 lowercase hex digits."""
        if not self._edge:
            return EMPTY_SHA256
        node = self._edge[-1]
        for one in reversed(self._edge[:-1]):
            node = sha256(b"\x01" + one + node).digest()
        return node.hex()
