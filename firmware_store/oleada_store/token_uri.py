"""PKCS#11 URIs: which key, in which security token, through which module (RFC 7512).

``pkcs11:token=Alice;object=root-1?module-path=/usr/lib/softhsm/libsofthsm2.so`` names one
key. What narrows the choice stands before the question mark, how to get at it behind it.
A PIN never stands in a URI, for every process of the machine can read a command's words.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from oleada_store.errors import KeyTokenError

SCHEME: Final = "pkcs11:"
MODULE_VARIABLE: Final = "OLEADA_PKCS11_MODULE"
URI_CHARS_MAX: Final = 2048
_NAMES: Final = ("token", "serial", "manufacturer", "model", "object")
_PLACES: Final = ("module-path", "pin-source")


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A key in a security token; what is None may be anything.

    Attributes:
        text: As it was typed, without what stands behind the question mark.
        token: Label of the token.
        object: Label of the key.
        id: CKA_ID of the key, for tokens whose keys have no labels.
        module: The library that speaks to the token; None for the environment's.
        pin_file: Holds the PIN; None to be asked for it.
    """

    text: str
    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    object: str | None = None
    id: bytes | None = None
    module: str | None = None
    pin_file: Path | None = None

    def __str__(self) -> str:
        return self.text

    def module_path(self) -> str:
        """Return the library that speaks to the token.

        Raises:
            KeyTokenError: neither the URI nor the environment names one.
        """
        found = self.module or os.environ.get(MODULE_VARIABLE)
        if not found:
            raise KeyTokenError(
                f"No library is named that speaks to {self}: add ?module-path=/usr/lib/….so to "
                f"it, or set {MODULE_VARIABLE}."
            )
        return found


def parse(text: str) -> TokenUri:
    """Return what URI *text* names.

    Raises:
        KeyTokenError: it is no such URI, carries a PIN, or says what is not understood:
            a narrower choice that is overlooked would be another key.
    """
    if not text.startswith(SCHEME) or len(text) > URI_CHARS_MAX:
        raise KeyTokenError(f"{text[:80]!r} is not a URI such as pkcs11:token=Alice;object=root-1.")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    chosen = _pairs(path, ";", (*_NAMES, "id", "type"))
    if chosen.pop("type", b"private") != b"private":
        raise KeyTokenError(f"{SCHEME}{path} names no private key; leave 'type' out.")
    key_id = chosen.pop("id", None)
    reach = _pairs(query, "&", _PLACES)
    names = {name: _text(name, value) for name, value in chosen.items()}
    return TokenUri(
        SCHEME + path,
        **names,
        id=key_id,
        module=_text("module-path", reach["module-path"]) if "module-path" in reach else None,
        pin_file=_pin_file(reach["pin-source"]) if "pin-source" in reach else None,
    )


def _pairs(text: str, between: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(between) if text else ():
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise KeyTokenError(
                "A PIN does not belong into a URI, where every process can read it: leave "
                "'pin-value' out and be asked, or name a file with pin-source=file:PATH."
            )
        if not equals or name not in known:
            raise KeyTokenError(
                f"'{name[:40]}' is not understood in a PKCS#11 URI; known here: {', '.join(known)}."
            )
        if name in found:
            raise KeyTokenError(f"'{name}' stands twice in the PKCS#11 URI.")
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise KeyTokenError(f"'{name}' of the PKCS#11 URI is not UTF-8.") from error


def _pin_file(value: bytes) -> Path:
    scheme, _, path = _text("pin-source", value).rpartition(":")
    if scheme not in {"", "file"} or not path.startswith("/"):
        raise KeyTokenError("pin-source names a file by its whole path: file:/media/key/pin.")
    return Path("/" + path.lstrip("/"))
