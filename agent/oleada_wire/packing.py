"""Messages made small: raw deflate with a dictionary that both sides have.

The first byte is the number of the dictionary, and no JSON begins with it. What is
unpacked is bounded twice, by its size and by how much larger it is than what came: a few
bytes that would fill a memory are refused before they do.
Source: RFC 1951; the dictionary is a typical message (packing_words) and never changes.
"""

import zlib
from typing import Final

from oleada_wire.errors import MalformedMessageError, MessageTooLargeError
from oleada_wire.packing_words import WORDS_1

NUMBER: Final = 1
RATIO_MAX: Final = 100
"""Messages of a real box become 5 to 30 times smaller; deflate itself ends at 1 032."""
RAW: Final = -15


def pack(data: bytes) -> bytes:
    """Return JSON message *data* made small; as it is where that would be of no use."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, RAW, zdict=WORDS_1)
    packed = bytes([NUMBER]) + squeezer.compress(data) + squeezer.flush()
    is_good = len(packed) < len(data) <= RATIO_MAX * len(packed)
    return packed if is_good else data


def unpack(kind: str, data: bytes, size_bytes_max: int) -> bytes:
    """Return JSON message *data* of *kind*, whether it was made small or not.

    Raises:
        MessageTooLargeError: it has, or would have, more than *size_bytes_max*.
        MalformedMessageError: it is not whole, or larger than ``RATIO_MAX`` times what came.
    """
    if data[:1] != bytes([NUMBER]) or len(data) > size_bytes_max:
        return data  # who reads it says what is wrong with it
    bound = min(size_bytes_max, RATIO_MAX * len(data))
    stretcher = zlib.decompressobj(RAW, zdict=WORDS_1)
    try:
        found = stretcher.decompress(data[1:], bound + 1)
    except zlib.error as error:
        raise MalformedMessageError(f"Message '{kind}' can not be unpacked: {error}.") from error
    if len(found) > size_bytes_max:
        raise MessageTooLargeError(kind, len(found), size_bytes_max)
    if len(found) > bound:
        raise MalformedMessageError(
            f"Message '{kind}' of {len(data)} bytes unpacks to more than {RATIO_MAX} times as many."
        )
    if not stretcher.eof or stretcher.unused_data:
        raise MalformedMessageError(f"Message '{kind}' is packed, and not whole.")
    return found
