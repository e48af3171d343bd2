"""Ed25519 keys: offline ones under a passphrase or in a token, online ones as 0600 files.

An offline key never leaves the signer's machine and is never written unencrypted. A
passphrase comes from the keyboard, a file or an environment variable, and is never a
command's argument, where every process of the machine could read it.
"""

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from oleada_wire import canonical, envelope
from oleada_wire.errors import WireError
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from oleada_store import pkcs8, token_keys
from oleada_store.errors import KeyFileError
from oleada_store.files import write_whole
from oleada_store.token_uri import TokenUri

ONLINE_ROLES: Final = ("timestamp", "snapshot", "director")
"""Roles whose keys the server holds; none of them can make a box run new code."""
ONLINE_PUBLIC_NAME: Final = "online-public.json"
PASSPHRASE_BYTES_MAX: Final = 4096
KEY_FILE_BYTES_MAX: Final = 16 * 1024
PUBLIC_FILE_BYTES_MAX: Final = 64 * 1024


class SigningKey(Protocol):
    """An Ed25519 key that signs: one in memory, or one that never leaves its token."""

    def public_key(self) -> Ed25519PublicKey:
        """Return its public half."""
        ...

    def sign(self, data: bytes, /) -> bytes:
        """Return the Ed25519 signature of *data*, 64 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class PassphraseSource:
    """Where passphrases come from: a file, an environment variable, or a person.

    Attributes:
        ask: Called with the name of the key when neither file nor variable is given.
        ask_pin: Called with the URI of a key in a token that names no PIN file.
    """

    ask: Callable[[str], str]
    file: Path | None = None
    variable: str | None = None
    ask_pin: Callable[[str], str] | None = None

    def pin(self, uri: TokenUri) -> str:
        """Return the PIN of the token of *uri*: of the file that it names, or by asking.

        Raises:
            KeyTokenError: there is nobody to ask, or the file is no file for a PIN.
        """
        return token_keys.read_pin(uri, self._ask_pin)

    def _ask_pin(self, uri: TokenUri) -> str:
        return (self.ask_pin or self.ask)(str(uri))

    def read(self, name: str) -> bytes:
        """Return the passphrase for key *name*, without a final line end.

        Raises:
            KeyFileError: there is none, or it is empty.
        """
        if self.file is not None:
            found, origin = _first_line(self.file), f"passphrase file {self.file}"
        elif self.variable is not None:
            text = os.environ.get(self.variable)
            if text is None:
                raise KeyFileError(
                    f"The environment variable {self.variable} with the passphrase of {name} is "
                    "not set."
                )
            found, origin = os.fsencode(text), f"environment variable {self.variable}"
        else:
            found, origin = os.fsencode(self.ask(name)), f"passphrase of {name}"
        if not found.strip():
            raise KeyFileError(f"The {origin} is empty; {name} needs a passphrase.")
        return found


def draw_passphrase() -> str:
    """Return a passphrase of 256 random bits, which says that it was drawn.

    For keys that a program holds: under it no key needs to be slow to open.
    """
    return f"drawn:{secrets.token_urlsafe(32)}"


def write_encrypted(path: Path, key: Ed25519PrivateKey, passphrase: bytes) -> None:
    """Write *key* to new file *path* under *passphrase*, readable by its owner alone.

    Raises:
        KeyFileError: the passphrase is empty, or *path* is already there.
    """
    write_whole(path, encrypted(path, key, passphrase), 0o600)


def encrypted(path: Path, key: Ed25519PrivateKey, passphrase: bytes) -> bytes:
    """Return *key* under *passphrase*, to be written to new file *path* by its caller.

    Raises:
        KeyFileError: the passphrase is empty, or *path* is already there.
    """
    if not passphrase.strip():
        raise KeyFileError(f"The passphrase of {path.name} is empty; an offline key needs one.")
    _refuse_overwriting(path)
    salt, iv = secrets.token_bytes(pkcs8.SALT_BYTES), secrets.token_bytes(pkcs8.IV_BYTES)
    return pkcs8.encrypted_pem(key, passphrase, salt, iv)


def read_encrypted(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """Return the offline key in *path*.

    Raises:
        KeyFileError: no such file, wrong passphrase, not encrypted, or not Ed25519.
    """
    content = _read(path)
    if b"ENCRYPTED" not in content:
        raise KeyFileError(
            f"Key file {path} is not encrypted; an offline key is kept under a passphrase. "
            "Make new keys with: oleada keys init"
        )
    return _parse(path, content, passphrase)


def write_online(path: Path, key: Ed25519PrivateKey) -> None:
    """Write an online *key* to new file *path*, unencrypted, mode 0600.

    Raises:
        KeyFileError: *path* is already there.
    """
    _refuse_overwriting(path)
    write_whole(
        path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600
    )


def read_online(path: Path) -> Ed25519PrivateKey:
    """Return the online key in *path*.

    Raises:
        KeyFileError: no such file, readable by others, or not Ed25519.
    """
    content = _read(path)
    if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        raise KeyFileError(
            f"Key file {path} has mode {mode:04o}, so others can read it. Make new keys, or if "
            f"nobody else has an account here: chmod 600 {path}"
        )
    return _parse(path, content, None)


def make_online_keys(directory: Path) -> dict[str, Ed25519PublicKey]:
    """Make the server's online keys in *directory* where they are missing.

    Writes ``<role>.pem`` for each of ``ONLINE_ROLES`` and ``online-public.json``, which
    the ceremony needs; safe to repeat after a power cut.

    Returns:
        The public keys by role.

    Raises:
        KeyFileError: a key that is there can not be read.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {}
    for role in ONLINE_ROLES:
        path = directory / f"{role}.pem"
        if not path.exists():
            write_online(path, Ed25519PrivateKey.generate())
        found[role] = read_online(path).public_key()
    write_public(directory / ONLINE_PUBLIC_NAME, found)
    return found


def write_public(path: Path, public_keys: dict[str, Ed25519PublicKey]) -> None:
    """Write *public_keys* by name to *path*, as JSON of TUF key objects."""
    write_whole(path, public_file(public_keys))


def public_file(public_keys: Mapping[str, Ed25519PublicKey]) -> bytes:
    """Return what a file of *public_keys* by name holds: JSON of TUF key objects."""
    objects = {name: envelope.key_object(key) for name, key in public_keys.items()}
    return canonical.dumps(objects) + b"\n"


def read_public(path: Path) -> dict[str, Ed25519PublicKey]:
    """Return the public keys by name in *path*.

    Raises:
        KeyFileError: no such file, or not JSON of TUF key objects.
    """
    try:
        objects = canonical.loads(_read(path), "public keys", PUBLIC_FILE_BYTES_MAX)
        return {name: public_key(found) for name, found in objects.items()}
    except (WireError, KeyError, TypeError, ValueError) as error:
        raise KeyFileError(f"{path} does not hold public keys by name: {error}") from error


def public_key(key_object: dict[str, Any]) -> Ed25519PublicKey:
    """Return the Ed25519 key that TUF spells *key_object*.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    if key_object["keytype"] != "ed25519" or key_object["scheme"] != "ed25519":
        raise ValueError("only Ed25519 keys are used")
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key_object["keyval"]["public"]))


class TufSigner(Signer):
    """What python-tuf signs with, wherever the key is."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        spelt = envelope.key_object(key.public_key())
        keyid = envelope.keyid_of(key.public_key())
        self._public = SSlibKey(keyid, spelt["keytype"], spelt["scheme"], spelt["keyval"])

    @property
    def public_key(self) -> Key:
        """The public half, as python-tuf holds it."""
        return self._public

    def sign(self, payload: bytes) -> Signature:
        """Return the signature of *payload*."""
        return Signature(self._public.keyid, self._key.sign(payload).hex())

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> Signer:
        """Refuse: keys are opened by this module, which knows how they are guarded."""
        raise KeyFileError(f"Keys are not opened by name alone: {priv_key_uri[:40]!r}.")


def tuf_signer(key: SigningKey) -> TufSigner:
    """Return what python-tuf signs with."""
    return TufSigner(key)


@dataclass(frozen=True, slots=True)
class EnvelopeSigner:
    """What an envelope is signed with, wherever the key is."""

    key: SigningKey

    @property
    def keyid(self) -> str:
        """The TUF key id of the key."""
        return envelope.keyid_of(self.key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of *data*, 64 bytes."""
        return self.key.sign(data)


def _first_line(path: Path) -> bytes:
    content = _read(path)
    if len(content) > PASSPHRASE_BYTES_MAX:
        raise KeyFileError(f"Passphrase file {path} has more than {PASSPHRASE_BYTES_MAX} bytes.")
    return content.split(b"\n", 1)[0].rstrip(b"\r")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(max(KEY_FILE_BYTES_MAX, PUBLIC_FILE_BYTES_MAX) + 1)
    except OSError as error:
        raise KeyFileError(f"{path} can not be read: {error.strerror}.") from error


def _parse(path: Path, content: bytes, passphrase: bytes | None) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(content, passphrase)
    except (ValueError, TypeError) as error:
        wrong = "the passphrase is wrong or the file is damaged" if passphrase else str(error)
        raise KeyFileError(f"Key file {path} can not be opened: {wrong}.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"Key file {path} holds another kind of key; Ed25519 is used.")
    return key


def _refuse_overwriting(path: Path) -> None:
    if path.exists():
        raise KeyFileError(f"{path} is already there; a key is never overwritten.")
