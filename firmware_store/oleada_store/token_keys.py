"""Ed25519 keys that live in a security token (PKCS#11) and never leave it.

Each act opens a session of its own and ends it, so that a token may be pulled out between
two signatures and nobody's PIN stays behind in it. What a token has signed is checked
before it is used: a token that signs with another key is found here and not by the boxes.
Needs ``pip install oleada[token]``; nothing else of the product does.
Source: PKCS#11 3.0 (OASIS), 2.3.13 (CKM_EDDSA); RFC 8032; RFC 7512 for the names.
"""

import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from oleada_store.errors import KeyTokenError
from oleada_store.token_uri import TokenUri

if TYPE_CHECKING:
    from pkcs11 import Session, Token

ED25519_PARAMETERS: Final = (
    bytes.fromhex("06032b6570"),  # the object identifier 1.3.101.112 (RFC 8410)
    b"\x13\x0cedwards25519",  # the curve's name as a PrintableString (PKCS#11 3.0, 2.3.5)
)
KEY_ID_BYTES: Final = 16
PIN_BYTES_MAX: Final = 255
LISTED_MAX: Final = 10
_SAID: Final = {
    "PinIncorrect": "the PIN is wrong; after a few wrong ones a token locks itself",
    "PinLenRange": "the PIN is wrong: no PIN of this token has that length",
    "PinInvalid": "the PIN is wrong: no PIN of this token has such characters",
    "PinLocked": "its PIN was wrong too often and it has locked itself; its administrator opens it",
    "UserPinNotInitialized": "it has no PIN yet; set it up first",
    "TokenNotPresent": "it was pulled out; plug it in and begin again",
    "TokenNotRecognised": "it is not set up, or of a kind that the library does not know",
    "DeviceRemoved": "it was pulled out; plug it in and begin again",
    "TokenWriteProtected": "it takes no new key: it is write-protected",
    "MechanismInvalid": "it does not know Ed25519 (CKM_EDDSA), which is what boxes verify",
}

PinOf = Callable[[TokenUri], str]
"""Returns the PIN of a token."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A private key in a token; it signs there."""

    uri: TokenUri
    pin: str = field(repr=False)
    public: Ed25519PublicKey

    def public_key(self) -> Ed25519PublicKey:
        """Return its public half."""
        return self.public

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of *data*, 64 bytes.

        Raises:
            KeyTokenError: the token is away, locked, or does not sign with this key.
        """
        with _session(self.uri, self.pin) as session:
            return _signed(self.uri, _private(session, self.uri), self.public, data)


def open_key(uri: TokenUri, pin: str) -> TokenKey:
    """Return the key that *uri* names.

    Raises:
        KeyTokenError: no such token or key, a wrong PIN, or another kind of key.
    """
    with _session(uri, pin) as session:
        return TokenKey(uri, pin, _public(session, uri, _private(session, uri)))


def make_or_open(uri: TokenUri, pin: str) -> tuple[TokenKey, bool]:
    """Return the key that *uri* names, made in the token if it is not there, and if so.

    Returns:
        The key, and whether it is new.

    Raises:
        KeyTokenError: no such token, a wrong PIN, another kind of key, or none can be made.
    """
    if uri.object is None:
        raise KeyTokenError(f"{uri} says not how the key is called: add ;object=root-1 to it.")
    with _session(uri, pin, writing=True) as session:
        found = _find(session, uri)
        if not found:
            _make(session, uri.object)
    return open_key(uri, pin), not found


def destroy(uri: TokenUri, pin: str) -> None:
    """Remove the key that *uri* names, both halves, from its token for good.

    Raises:
        KeyTokenError: it is not there, or the token does not let go of it.
    """
    with _session(uri, pin, writing=True) as session:
        private = _private(session, uri)
        for half in (*_public_halves(session, private), private):
            half.destroy()


def read_pin(uri: TokenUri, ask: PinOf) -> str:
    """Return the PIN for *uri*: of the file that it names, or else what *ask* returns.

    Raises:
        KeyTokenError: the file can not be read, or others can read it too.
    """
    if uri.pin_file is None:
        return ask(uri)
    try:
        with uri.pin_file.open("rb") as file:
            mode = stat.S_IMODE(uri.pin_file.stat().st_mode)
            content = file.read(PIN_BYTES_MAX + 1)
    except OSError as error:
        raise KeyTokenError(f"PIN file {uri.pin_file}: {error.strerror}.") from error
    if mode & 0o077:
        raise KeyTokenError(
            f"PIN file {uri.pin_file} has mode {mode:04o}, so others can read it; change the PIN, "
            f"then: chmod 600 {uri.pin_file}"
        )
    first = content.split(b"\n", 1)[0].rstrip(b"\r")
    if not first or len(content) > PIN_BYTES_MAX:
        raise KeyTokenError(f"PIN file {uri.pin_file} does not hold one PIN on its first line.")
    return first.decode(errors="surrogateescape")


@contextmanager
def _session(uri: TokenUri, pin: str, *, writing: bool = False) -> Iterator["Session"]:
    try:
        import pkcs11  # noqa: PLC0415 - optional: whoever has no token needs no such library
    except ImportError as error:
        raise KeyTokenError(
            f"{uri} is a key in a token, and what speaks to tokens is not installed here: "
            "pip install oleada[token]"
        ) from error
    path = uri.module_path()
    try:
        module = pkcs11.lib(path)
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        raise KeyTokenError(f"Library {path} can not be used: {error}") from error
    try:
        with _token(list(module.get_tokens()), uri).open(rw=writing, user_pin=pin) as session:
            yield session
    except pkcs11.PKCS11Error as error:
        said = _SAID.get(type(error).__name__, f"it refuses ({type(error).__name__}) {error}")
        raise KeyTokenError(f"The token of {uri}: {said.strip()}.") from error
    finally:
        module.finalize()  # the next session sees tokens that were plugged in meanwhile


def _token(tokens: list["Token"], uri: TokenUri) -> "Token":
    there = [one for one in tokens if one.label or one.serial]
    fitting = [
        one
        for one in there
        if uri.token in (None, one.label)
        and uri.serial in (None, one.serial.decode(errors="replace"))
        and uri.manufacturer in (None, one.manufacturer_id)
        and uri.model in (None, one.model)
    ]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(sorted(one.label for one in there)[:LISTED_MAX]) or "none"
    if not fitting:
        raise KeyTokenError(f"The token of {uri} is not there; plug it in. There are: {names}.")
    raise KeyTokenError(
        f"{len(fitting)} tokens fit {uri}; say which with token= or serial=. There are: {names}."
    )


def _find(session: "Session", uri: TokenUri) -> list[Any]:
    import pkcs11  # noqa: PLC0415 - as in _session

    wanted: dict[Any, Any] = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}
    if uri.object is not None:
        wanted[pkcs11.Attribute.LABEL] = uri.object
    if uri.id is not None:
        wanted[pkcs11.Attribute.ID] = uri.id
    return list(session.get_objects(wanted))


def _private(session: "Session", uri: TokenUri) -> Any:
    found = _find(session, uri)
    if len(found) == 1:
        return found[0]
    if found:
        raise KeyTokenError(f"{len(found)} keys fit {uri}; say which with object= or id=.")
    every = _find(session, TokenUri(uri.text))
    names = ", ".join(sorted(str(one.label) for one in every)[:LISTED_MAX]) or "none"
    raise KeyTokenError(f"There is no key {uri} in its token. There are: {names}.")


def _public_halves(session: "Session", private: Any) -> list[Any]:
    import pkcs11  # noqa: PLC0415 - as in _session

    wanted: dict[Any, Any] = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY}
    if private.id:
        wanted[pkcs11.Attribute.ID] = private.id
    else:
        wanted[pkcs11.Attribute.LABEL] = private.label
    return list(session.get_objects(wanted))


def _public(session: "Session", uri: TokenUri, private: Any) -> Ed25519PublicKey:
    import pkcs11  # noqa: PLC0415 - as in _session

    if private.key_type != pkcs11.KeyType.EC_EDWARDS:
        kind = getattr(private.key_type, "name", private.key_type)
        raise KeyTokenError(f"{uri} is a key of kind {kind}; Ed25519 is what boxes verify.")
    for half in _public_halves(session, private):
        if half[pkcs11.Attribute.EC_PARAMS] not in ED25519_PARAMETERS:
            raise KeyTokenError(f"{uri} is a key on another curve; Ed25519 is what boxes verify.")
        point = bytes(half[pkcs11.Attribute.EC_POINT])
        raw = point[2:] if point[:2] == b"\x04\x20" and len(point) == 34 else point
        if len(raw) == 32:
            found = Ed25519PublicKey.from_public_bytes(raw)
            _signed(uri, private, found, secrets.token_bytes(32))
            return found
    raise KeyTokenError(f"The public half of {uri} is not in its token; put it there again.")


def _signed(uri: TokenUri, private: Any, public: Ed25519PublicKey, data: bytes) -> bytes:
    import pkcs11  # noqa: PLC0415 - as in _session

    signature = bytes(private.sign(data, mechanism=pkcs11.Mechanism.EDDSA))
    try:
        public.verify(signature, data)
    except InvalidSignature as error:
        raise KeyTokenError(
            f"What the token of {uri} has signed does not fit the key's public half. It was "
            "exchanged or is broken; nothing was signed."
        ) from error
    return signature


def _make(session: "Session", label: str) -> None:
    import pkcs11  # noqa: PLC0415 - as in _session

    curve = session.create_domain_parameters(
        pkcs11.KeyType.EC_EDWARDS,
        {pkcs11.Attribute.EC_PARAMS: ED25519_PARAMETERS[0]},
        local=True,
    )
    curve.generate_keypair(
        id=secrets.token_bytes(KEY_ID_BYTES),
        label=label,
        store=True,
        mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
        private_template={
            pkcs11.Attribute.SENSITIVE: True,
            pkcs11.Attribute.EXTRACTABLE: False,
        },
    )
