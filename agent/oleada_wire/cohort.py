"""Which boxes a wave covers, in a form that each box checks by itself.

A *share* cohort names a salt and a range of 0 to 10 000 (ten-thousandths of the
model's fleet); a box hashes salt and its id to a place in that range. A *list* cohort
names the root of a Merkle tree over device ids; the assignment carries the proof.
Source: trust design 1.5; the tree is that of ``merkle``.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from oleada_wire import merkle

SHARE_PARTS: Final = 10_000


def place(salt: str, device_id: str) -> int:
    """Return where *device_id* falls under *salt*: 0 to 9 999, evenly spread."""
    digest = hashlib.sha256(f"{salt}\x00{device_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * SHARE_PARTS >> 64


def merkle_root(device_ids: Sequence[str]) -> str:
    """Return the root over sorted *device_ids*, 64 hex digits; needs at least one."""
    return _levels(device_ids)[-1][0].hex()


def merkle_proof(device_ids: Sequence[str], device_id: str) -> list[str]:
    """Return the sibling hashes from leaf to root, each ``L`` or ``R`` and 64 hex digits.

    Raises:
        ValueError: *device_id* is not one of *device_ids*.
    """
    index = sorted(set(device_ids)).index(device_id)
    proof = []
    for level in _levels(device_ids)[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(("L" if sibling < index else "R") + level[sibling].hex())
        index //= 2
    return proof


def merkle_proofs(device_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the proof of each of *device_ids*; the tree is built once for all of them."""
    ordered, levels = sorted(set(device_ids)), _levels(device_ids)
    proofs: dict[str, list[str]] = {device_id: [] for device_id in ordered}
    for depth, level in enumerate(levels[:-1]):
        for index, device_id in enumerate(ordered):
            node = index >> depth
            if (sibling := node ^ 1) < len(level):
                proofs[device_id].append(("L" if sibling < node else "R") + level[sibling].hex())
    return proofs


def merkle_covers(root: str, device_id: str, proof: Sequence[str]) -> bool:
    """Return whether *proof* leads from *device_id* to *root*; false for any nonsense."""
    node = merkle.leaf(device_id.encode())
    for step in proof[:64]:
        try:
            sibling = bytes.fromhex(step[1:])
        except ValueError:
            return False
        node = merkle.node(sibling, node) if step[:1] == "L" else merkle.node(node, sibling)
    return node.hex() == root


def _levels(device_ids: Sequence[str]) -> list[Sequence[bytes]]:
    leaves = [merkle.leaf(device_id.encode()) for device_id in sorted(set(device_ids))]
    if not leaves:
        raise ValueError("a list cohort names at least one device")
    return merkle.levels(leaves)
