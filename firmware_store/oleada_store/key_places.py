"""Where an offline key lies: in a file under a passphrase, or in a security token.

A file that ends in ``.uri`` holds the name of a key in a token: the ceremony leaves one
where it leaves a ``.pem`` of the other keys, so that commands find both alike.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from oleada_store import keys, token_keys, token_uri
from oleada_store.errors import KeyFileError
from oleada_store.files import write_whole
from oleada_store.keys import PassphraseSource, SigningKey
from oleada_store.token_uri import TokenUri

SUFFIX: Final = ".uri"
URI_FILE_BYTES_MAX: Final = 4096

KeyPlace = Path | TokenUri


def parse(text: str) -> KeyPlace:
    """Return the place that *text* names: the URI of a key in a token, or a file.

    Raises:
        KeyTokenError: it begins like such a URI and is none.
    """
    return token_uri.parse(text) if text.startswith(token_uri.SCHEME) else Path(text)


def name_of(place: KeyPlace) -> str:
    """Return how people call the key at *place*."""
    return place.name if isinstance(place, Path) else str(place)


def open_key(place: KeyPlace, source: PassphraseSource) -> SigningKey:
    """Return the key at *place*.

    Raises:
        KeyFileError: it is not there, or passphrase or PIN are wrong.
    """
    if isinstance(place, Path) and place.suffix == SUFFIX:
        place = _read(place)
    if isinstance(place, TokenUri):
        return token_keys.open_key(place, source.pin(place))
    return keys.read_encrypted(place, source.read(place.stem))


def held_in(folder: Path, name: str) -> Path:
    """Return where the ceremony in *folder* has put the key called *name*."""
    beside = folder / f"{name}{SUFFIX}"
    return beside if beside.exists() else folder / f"{name}.pem"


def new_place(folder: Path, name: str, *, in_token: bool) -> Path:
    """Return where a new key called *name* is put in the ceremony of *folder*."""
    return folder / f"{name}{SUFFIX if in_token else '.pem'}"


def write(path: Path, uri: TokenUri) -> None:
    """Write the name of a key in a token to new file *path*; no PIN, and no PIN's file.

    Raises:
        KeyFileError: *path* is already there.
    """
    write_whole(path, file_of(path, uri))


def file_of(path: Path, uri: TokenUri) -> bytes:
    """Return what new file *path* says of *uri*, to be written by its caller.

    Raises:
        KeyFileError: *path* is already there.
    """
    if path.exists():
        raise KeyFileError(f"{path} is already there; a key is never overwritten.")
    module = f"?module-path={uri.module}" if uri.module else ""
    return f"{uri}{module}\n".encode()


def named(pairs: tuple[str, ...], known: tuple[str, ...]) -> Mapping[str, TokenUri]:
    """Return the keys by name of *pairs* such as ``root-1=pkcs11:token=Alice;object=root-1``.

    Raises:
        KeyFileError: a name is not *known* or stands twice, or two are one key.
    """
    found: dict[str, TokenUri] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in known or name in found:
            raise KeyFileError(
                f"{name[:40]!r} is no key that is made here, or stands twice; there are: "
                f"{', '.join(known)}."
            )
        found[name] = token_uri.parse(text)
    return found


def _read(path: Path) -> TokenUri:
    try:
        with path.open("rb") as file:
            text = file.read(URI_FILE_BYTES_MAX).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path} can not be read: {error}.") from error
    return token_uri.parse(text.strip())
