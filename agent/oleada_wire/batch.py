"""Where a message stands in a batch that one signature covers, and what is signed of it.

The signature is over size and root of a tree whose leaves are the messages as DSSE spells
them before they are signed; each envelope carries it with its own path. Only reading is
done here: ``bulk`` makes batches.
Source: docs/adr/0027-one-signature-for-a-batch-of-assignments.md; RFC 9162, 2.1.3.
"""

import base64
import binascii
from typing import Final, NamedTuple

from oleada_wire.errors import BadBatchError
from oleada_wire.merkle import HASH_BYTES, leaf, node

WORD: Final = "batch"
"""What a box says in ``Hello.reads`` when it understands a signature over a batch."""
ROOT_TYPE: Final = "application/vnd.oleada.batch-root;v=1"
"""The DSSE payload type of what is signed; that of no kind of message."""
MESSAGES_MIN: Final = 2
"""One message alone has a plain signature, and no second way to be signed."""
MESSAGES_MAX: Final = 1024
PATH_BYTES_MAX: Final = 10 * HASH_BYTES
TEXT_CHARS_MAX: Final = (4 + PATH_BYTES_MAX) // 3 * 4


class Place(NamedTuple):
    """Where a message stands in its batch.

    Attributes:
        size: Messages in the batch; 2 to 1 024.
        number: Of this one; from 0.
        path: The hashes beside the way from leaf to root, 32 bytes each.
    """

    size: int
    number: int
    path: bytes


def encode(place: Place) -> bytes:
    """Return *place* as an envelope carries it: base64."""
    size, number, path = place
    return base64.b64encode((size << 16 | number).to_bytes(4, "big") + path)


def decode(text: object) -> Place:
    """Return the place in *text*; nothing is hashed.

    Raises:
        BadBatchError: *text* is not a place in a batch, or its path is not exactly as long
            as the way from there to the root.
    """
    if type(text) is not str or len(text) > TEXT_CHARS_MAX:
        raise BadBatchError(f"A batch is a text of at most {TEXT_CHARS_MAX} characters.")
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadBatchError(f"A batch is not base64: {error}.") from error
    place = Place(int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big"), data[4:])
    if not MESSAGES_MIN <= place.size <= MESSAGES_MAX or place.number >= place.size:
        raise BadBatchError(f"No batch has a message {place.number} of {place.size}.")
    if len(place.path) != (wanted := _hashes(place.number, place.size) * HASH_BYTES):
        raise BadBatchError(
            f"The path of message {place.number} of {place.size} has {len(place.path)} bytes; "
            f"it needs {wanted}."
        )
    return place


def root_of(signed: bytes, place: Place) -> bytes:
    """Return size and root, as they are signed, of the batch in which *signed* is at *place*.

    Args:
        signed: The message as DSSE spells it before it is signed.
        place: As ``decode`` returns it: its path is as long as it must be.
    """
    found, taken = leaf(signed), 0
    index, last = place.number, place.size - 1
    while last:
        if index ^ 1 <= last:  # what is last and has nothing beside it rises as it is
            beside = place.path[taken : taken + HASH_BYTES]
            found = node(beside, found) if index & 1 else node(found, beside)
            taken += HASH_BYTES
        index, last = index >> 1, last >> 1
    return body(place.size, found)


def body(size: int, root: bytes) -> bytes:
    """Return what is signed under ``ROOT_TYPE`` for a batch of *size* with this *root*."""
    return size.to_bytes(4, "big") + root


def _hashes(number: int, size: int) -> int:
    """Return how many hashes lead from leaf *number* to the root of *size* leaves."""
    count, index, last = 0, number, size - 1
    while last:
        count += index ^ 1 <= last
        index, last = index >> 1, last >> 1
    return count
