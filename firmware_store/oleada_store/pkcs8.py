"""Private keys at rest: PKCS#8, PBES2 with scrypt and AES-256-CBC, as PEM.

``cryptography`` reads this form but writes only PBKDF2 with 2 048 rounds, which is too
few for a passphrase that guards a root key. ``openssl pkey`` reads it as well.
Source: RFC 5958 (EncryptedPrivateKeyInfo), RFC 8018 (PBES2), RFC 7914, 7 (scrypt).
"""

import base64
import re
import textwrap
from typing import Final

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

SCRYPT_N: Final = 2**14  # 16 MiB with r = 8: OpenSSL reads no more than 32 MiB unasked
SCRYPT_R: Final = 8
SCRYPT_P: Final = 5
SCRYPT_N_DRAWN: Final = 2**4
"""Stretching makes guessing dear; 256 bits that a machine drew nobody guesses anyway."""
DRAWN: Final = re.compile(rb"drawn:([A-Za-z0-9_-]{43})")
"""What ``keys.draw_passphrase`` returns; nobody types it in their head's stead."""
DRAWN_LETTERS_MIN: Final = 16
"""Different ones among 43 drawn of 64; fewer come once in 10**13 and are stretched as ever."""
SALT_BYTES: Final = 16
IV_BYTES: Final = 16

_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES256_CBC = bytes.fromhex("060960864801650304012a")


def encrypted_pem(key: Ed25519PrivateKey, passphrase: bytes, salt: bytes, iv: bytes) -> bytes:
    """Return *key* encrypted under *passphrase*; *salt* and *iv* are 16 fresh random bytes."""
    cost = cost_of(passphrase)
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    secret = Scrypt(salt=salt, length=32, n=cost, r=SCRYPT_R, p=SCRYPT_P).derive(passphrase)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(iv)).encryptor()
    body = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    scrypt = _sequence(
        _SCRYPT,
        _sequence(_octets(salt), _integer(cost), _integer(SCRYPT_R), _integer(SCRYPT_P)),
    )
    cipher = _sequence(_AES256_CBC, _octets(iv))
    der = _sequence(_sequence(_PBES2, _sequence(scrypt, cipher)), _octets(body))
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    label = "ENCRYPTED PRIVATE KEY"
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def cost_of(passphrase: bytes) -> int:
    """Return scrypt's N for a key under *passphrase*: small only for one that was drawn."""
    found = DRAWN.fullmatch(passphrase)
    is_drawn = found is not None and len(set(found[1])) >= DRAWN_LETTERS_MIN
    return SCRYPT_N_DRAWN if is_drawn else SCRYPT_N


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    assert size < 65536, "a key is small"  # noqa: S101 - our own bytes
    if size < 128:
        length = bytes([size])
    elif size < 256:
        length = bytes([0x81, size])
    else:
        length = bytes([0x82, size >> 8, size & 255])
    return bytes([tag]) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _octets(content: bytes) -> bytes:
    return _tagged(0x04, content)


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))
