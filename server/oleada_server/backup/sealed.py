"""A stream under a passphrase: scrypt, then ChaCha20-Poly1305 over pieces of 64 KiB.

Each piece has a number and says whether it is the last, so that none can be dropped,
doubled or moved and the end can not be cut off. Never more than two pieces in memory.
Source: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015) in the form
of age (C2SP.org/age): an 11-byte counter, then one byte that is 1 for the last piece.
The key is of this file alone, because its salt is.
"""

import os
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from oleada_server.backup.errors import BadBackupError, BadPassphraseError

MAGIC: Final = b"OLEADA-SEALED-1\n"
SALT_BYTES: Final = 16
PIECE_BYTES: Final = 64 * 1024
TAG_BYTES: Final = 16
SCRYPT_N: Final = 2**16
SCRYPT_R: Final = 8
_SEALED_BYTES: Final = PIECE_BYTES + TAG_BYTES


class Sealer:
    """A file to write to; what is written goes to *out*, sealed. Close it, or it has no end."""

    def __init__(self, out: BinaryIO, passphrase: bytes) -> None:
        salt = os.urandom(SALT_BYTES)
        self._head = MAGIC + salt
        self._cipher = _cipher(passphrase, salt)
        self._out = out
        self._held = bytearray()
        self._number = 0
        out.write(self._head)

    def write(self, data: bytes) -> int:
        """Seal *data*; the last piece is kept until :meth:`close`."""
        self._held += data
        while len(self._held) > PIECE_BYTES:
            self._put(bytes(self._held[:PIECE_BYTES]), is_last=False)
            del self._held[:PIECE_BYTES]
        return len(data)

    def close(self) -> None:
        """Write the last piece; *out* stays open."""
        self._put(bytes(self._held), is_last=True)

    def _put(self, piece: bytes, *, is_last: bool) -> None:
        nonce = _nonce(self._number, is_last=is_last)
        self._out.write(self._cipher.encrypt(nonce, piece, self._head))
        self._number += 1


class Opener:
    """A file to read from; what is read was sealed by :class:`Sealer` and is checked."""

    def __init__(self, source: BinaryIO, passphrase: bytes) -> None:
        self._head = source.read(len(MAGIC) + SALT_BYTES)
        if len(self._head) < len(MAGIC) + SALT_BYTES:
            raise BadBackupError("The backup ends before it begins.")
        self._cipher = _cipher(passphrase, self._head[len(MAGIC) :])
        self._source = source
        self._next = source.read(_SEALED_BYTES)
        self._plain = b""
        self._number = 0
        self._ended = False

    def read(self, size_bytes: int) -> bytes:
        """Return up to *size_bytes* bytes, fewer only at the end.

        Raises:
            BadPassphraseError: the first piece does not open.
            BadBackupError: a later piece is damaged, missing or moved.
        """
        found = bytearray()
        while len(found) < size_bytes:
            if not self._plain and not self._open():
                break
            part = self._plain[: size_bytes - len(found)]
            self._plain = self._plain[len(part) :]
            found += part
        return bytes(found)

    def _open(self) -> bool:
        if self._ended:
            return False
        piece, self._next = self._next, self._source.read(_SEALED_BYTES)
        is_last = not self._next
        try:
            self._plain = self._cipher.decrypt(
                _nonce(self._number, is_last=is_last), piece, self._head
            )
        except InvalidTag as error:
            if self._number == 0:
                raise BadPassphraseError from error
            raise BadBackupError(
                f"The backup is damaged or cut off after {self._number * PIECE_BYTES} bytes."
            ) from error
        self._number += 1
        self._ended = is_last
        return bool(self._plain)


def is_sealed(beginning: bytes) -> bool:
    """Return whether a file that begins with *beginning* was sealed."""
    return beginning.startswith(MAGIC)


def _cipher(passphrase: bytes, salt: bytes) -> ChaCha20Poly1305:
    kdf = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=1)
    return ChaCha20Poly1305(kdf.derive(passphrase))


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
