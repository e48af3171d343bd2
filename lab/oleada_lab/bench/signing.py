"""Assignments signed by the director's key, as the server signs them: how many a second.

The server's own way (``authorise.seal_assigns``), a tick's chunk at a time, for boxes that
read batches: the words, the tree and the signature. No database, no broker (``assignment``
measures those). What boxes of the first agents cost, each signed alone, stands beside it,
and so does what a box pays to check one of either.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_server.rollouts.authorise import seal_assigns
from oleada_server.rollouts.ticks import CHUNK_BOXES
from oleada_wire import bulk, messages
from oleada_wire.cohort import merkle_proofs, merkle_root
from oleada_wire.envelope import KeySigner, RoleKeys
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
    signer = KeySigner.of(Ed25519PrivateKey.generate())
    [alone] = _sealed(range(1), signer)
    together = _parts(count, CHUNK_BOXES, lambda numbers: _sealed(numbers, signer))
    one_by_one = _parts(count // 10, 1, lambda numbers: _sealed(numbers, signer))
    body = bytes(len(alone))
    bare = _parts(count // 10, 1, lambda _: signer.sign(body))
    million_s = _mean(together) * FLEET
    return {
        "assignments": count,
        "boxes_a_signature": bulk.BATCH_MESSAGES,
        "bytes_each": len(_sealed(range(bulk.BATCH_MESSAGES), signer)[0]),
        "bytes_each_alone": len(alone),
        "per_s_a_core": round(FLEET / million_s),
        "million_cpu_s": round(million_s, 1),
        "million_cpu_s_at_best": round(min(together) * FLEET, 1),
        "million_alone_cpu_s": round(_mean(one_by_one) * FLEET, 1),
        "million_bare_signatures_cpu_s": round(_mean(bare) * FLEET, 1),
        "times_bare_signatures": round(_mean(together) / _mean(bare), 2),
        "limit_s": LIMIT_S,
        "met": million_s <= LIMIT_S,
        "box": _box(count // 10, signer),
        "merkle": _merkle(count),
    }


def _parts(count: int, at_once: int, act: Callable[[range], object]) -> list[float]:
    """Return the processor's seconds of one thing in each of the parts of *count* things.

    Args:
        at_once: So many things *act* does in a call, which gets their numbers; less than
            one call is not measured.
    """
    calls = max(1, count // at_once)
    found, part = [], max(1, calls // PARTS) * at_once
    for begin in range(0, calls * at_once - part + 1, part):
        begun_s = time.process_time()
        for first in range(begin, begin + part, at_once):
            act(range(first, first + at_once))
        found.append((time.process_time() - begun_s) / part)
    return found


def _mean(found: list[float]) -> float:
    return sum(found) / len(found)


def _sealed(numbers: range, signer: KeySigner) -> list[bytes]:
    """Return what the server says to the boxes *numbers*, who read batches, in one chunk."""
    return [data for _, data in seal_assigns([], [_assign(n) for n in numbers], [signer])]


def _box(count: int, signer: KeySigner) -> dict[str, Any]:
    """Return what checking one assignment costs a box, in microseconds of this processor."""
    role = RoleKeys({signer.keyid: signer.key.public_key()}, 1)

    def cost_us(data: bytes) -> int:
        found = _parts(count, 1, lambda _: messages.open_message(Assign, data, role))
        return round(_mean(found) * 1e6)

    return {
        "opens_one_of_a_batch_us": cost_us(_sealed(range(bulk.BATCH_MESSAGES), signer)[5]),
        "opens_one_alone_us": cost_us(_sealed(range(1), signer)[0]),
    }


def _assign(number: int) -> Assign:
    header = Header(secrets.token_hex(16), NOW_MS, BOOT, number + 1)
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
