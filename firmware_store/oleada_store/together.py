"""Several files that change together: all of them, or none, whenever the power goes.

What is to be written is first put into one file beside them (`PENDING_NAME`), whole and
durable; then each file is written; then the one is removed. A cut before the first step
changes nothing. After it, `finish` does the rest from what stands there; doing it twice is
no harm. Whoever reads or changes such files calls `finish` first.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oleada_wire import canonical
from oleada_wire.errors import WireError

from oleada_store.errors import KeyFileError
from oleada_store.files import sync_directory, write_whole

PENDING_NAME: Final = ".unfinished.json"
PENDING_BYTES_MAX: Final = 16 * 1024 * 1024
"""Thirty models' roles of the largest size, in base64."""
SECRET_MODE: Final = 0o600
OPEN_MODE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of one file; a *secret* one is readable by its owner alone."""

    data: bytes
    secret: bool = False


def write_together(folder: Path, contents: Mapping[str, Content]) -> None:
    """Put each of *contents* at its name in *folder*, such as ``tuf/targets.json``: all or none.

    The directories of the names must be there.
    """
    pending = {
        name: {"base64": base64.b64encode(one.data).decode(), "secret": one.secret}
        for name, one in contents.items()
    }
    write_whole(folder / PENDING_NAME, canonical.dumps(pending), SECRET_MODE)
    finish(folder)


def finish(folder: Path) -> list[str]:
    """Write what `write_together` was kept from writing in *folder*; return the files' names.

    Raises:
        KeyFileError: what stands there was not written by it.
    """
    path = folder / PENDING_NAME
    if not path.exists():
        return []
    contents = _read(path)
    _require_inside(folder, contents)
    for name, content in contents.items():
        write_whole(folder / name, content.data, SECRET_MODE if content.secret else OPEN_MODE)
    path.unlink()
    sync_directory(folder)
    return list(contents)


def _read(path: Path) -> dict[str, Content]:
    try:
        found = canonical.loads(path.read_bytes(), "files to be written", PENDING_BYTES_MAX)
        contents = {
            name: Content(base64.b64decode(one["base64"], validate=True), one["secret"] is True)
            for name, one in found.items()
        }
    except (OSError, WireError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise KeyFileError(f"{path} can not be read: {error}.") from error
    return contents


def _require_inside(folder: Path, names: Iterable[str]) -> None:
    """Refuse names that lead elsewhere, by a link too: the directory may come from anybody."""
    home = folder.resolve()
    for name in names:
        if not (folder / name).parent.resolve().is_relative_to(home) or ".." in Path(name).parts:
            raise KeyFileError(
                f"{folder / PENDING_NAME} names {name!r}, which is not in its directory."
            )
