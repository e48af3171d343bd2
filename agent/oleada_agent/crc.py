"""What is kept on a flash that may rot: a message, and whether it still is what was written."""

import zlib
from typing import Final

from oleada_wire import canonical
from oleada_wire.errors import MalformedMessageError
from oleada_wire.messages import UP_BYTES_MAX

CRC: Final = "crc32"
KEPT_BYTES_MAX: Final = UP_BYTES_MAX + 1024
"""Of a message with its CRC."""


def with_crc(data: bytes) -> bytes:
    """Return *data*, a JSON object, with one more member, the last: its CRC-32, as in zlib.

    An agent of before reads it as well: members that it does not know mean nothing to it.
    """
    return b'%b,"%b":%d}' % (data[:-1], CRC.encode(), zlib.crc32(data))


def without_crc(stored: bytes) -> bytes:
    """Return what was given to :func:`with_crc`; of an agent of before, what it has stored.

    Raises:
        MalformedMessageError: the flash returns other bytes than were written.
    """
    data = stored[: stored.rfind(b",")] + b"}"
    if stored == with_crc(data):  # as it is with whatever this agent has written: no need to read
        return data
    found = canonical.loads(stored, "message", KEPT_BYTES_MAX)
    crc = found.pop(CRC, None)
    data = canonical.dumps(found)
    if crc is not None and crc != zlib.crc32(data):
        raise MalformedMessageError("A message was kept, and rotted on the disk.")
    return data
