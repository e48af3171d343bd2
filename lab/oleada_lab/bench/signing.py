"""Assignments signed by the director's key, as the server signs them: how many a second.

Only the words and the signature: no database, no broker (``assignment`` measures those).
"""

import time
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_wire import bulk
from oleada_wire.cohort import merkle_proofs, merkle_root
from oleada_wire.envelope import KeySigner
from oleada_wire.ids import BootId
from oleada_wire.messages import Assign, Assignment, Header

COUNT: Final = 100_000
PARTS: Final = 50
FLEET: Final = 1_000_000
LIMIT_S: Final = 60
NOW_MS: Final = 1_795_000_000_000
WEEK_MS: Final = 7 * 24 * 3_600_000
BOOT: Final = BootId(1, "0badcafe")
"""Of the server: one for all that it says."""


def measure(count: int) -> dict[str, Any]:
    """Return what *count* assignments cost, and what a million would, in seconds of one core.

    The whole is judged. The quickest part stands beside it, and what the bare signatures
    cost in the same minute, because a shared machine may be slow by a factor of two.
    """
    signers = [KeySigner.of(Ed25519PrivateKey.generate())]
    size_bytes = len(bulk.seal(_assign(0), signers))
    body = bytes(size_bytes)
    signed = _parts(count, lambda number: bulk.seal(_assign(number), signers))
    bare = _parts(count // 10, lambda _: signers[0].sign(body))
    million_s = sum(signed) / len(signed) * FLEET
    return {
        "assignments": count,
        "bytes_each": size_bytes,
        "per_s_a_core": round(FLEET / million_s),
        "million_cpu_s": round(million_s, 1),
        "million_cpu_s_at_best": round(min(signed) * FLEET, 1),
        "million_bare_signatures_cpu_s": round(sum(bare) / len(bare) * FLEET, 1),
        "times_bare_signatures": round(sum(signed) / sum(bare), 2),
        "limit_s": LIMIT_S,
        "met": million_s <= LIMIT_S,
        "merkle": _merkle(count),
    }


def _parts(count: int, act: Callable[[int], object]) -> list[float]:
    """Return the processor's seconds of one act in each of the parts of *count* acts."""
    found, part = [], max(1, count // PARTS)
    for begin in range(0, part * PARTS, part):
        begun_s = time.process_time()
        for number in range(begin, begin + part):
            act(number)
        found.append((time.process_time() - begun_s) / part)
    return found


def _assign(number: int) -> Assign:
    header = Header(f"{number:032x}", NOW_MS, BOOT, number + 1)
    assignment = Assignment(
        f"AS-{number}", 1, "R-107", 31, "VX-410/5.8.2.img", "ab" * 32, 123_456_789, "5.8.2", 3,
        NOW_MS, NOW_MS + WEEK_MS, spread_s=3600,
    )  # fmt: skip
    return Assign(header, f"VX41{number:08d}", number + 1, assignment)


def _merkle(count: int) -> dict[str, Any]:
    """Return what the tree of a list of *count* boxes costs: its root, then every proof."""
    ids = [f"VX41{number:08d}" for number in range(count)]
    begun_s = time.process_time()
    merkle_root(ids)
    root_s = time.process_time() - begun_s
    proofs = merkle_proofs(ids)
    return {
        "boxes": count,
        "root_cpu_s": round(root_s, 2),
        "proofs_cpu_s": round(time.process_time() - begun_s - root_s, 2),
        "hashes_a_proof": max(map(len, proofs.values())),
    }
