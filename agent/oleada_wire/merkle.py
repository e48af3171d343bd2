"""The tree under one root that lists and batches share.

Source: RFC 9162, 2.1: SHA-256, leaves and nodes under prefixes of their own, and what has
nothing beside it rises as it is.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

HASH_BYTES: Final = 32


def leaf(data: bytes) -> bytes:
    """Return the hash of *data* as a leaf, 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash over two hashes, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def levels(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Return the tree over *leaves*, at least one: the leaves first, the root last and alone."""
    found = [leaves]
    while len(level := found[-1]) > 1:
        over = [node(*level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        found.append([*over, level[-1]] if len(level) % 2 else over)
    return found
