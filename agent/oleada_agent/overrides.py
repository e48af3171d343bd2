"""Settings that were changed from afar: ``data/overrides.json``, with what was before.

It is read at the agent's start, on top of ``config.toml``. A file that can not be read
changes nothing: a box must never fail to start for it. Only names of ``MAY_CHANGE``
count, so that nobody afar can open what the maker has closed.
"""

import json
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from oleada_agent.errors import AgentError, StorageError

if TYPE_CHECKING:  # the process of an action has no use for all that the ports know
    from oleada_agent.ports import Disk

FILE: Final = "data/overrides.json"
FILE_BYTES_MAX: Final = 16 * 1024
CHANGES_MAX: Final = 10
"""That can be taken back."""
MAY_CHANGE: Final = frozenset((
    "connect_spread_s", "download_bytes_per_s_max", "health_batch", "health_s", "keepalive_s",
    "profile", "temperature_max_c",
))  # fmt: skip
TEXTS: Final = frozenset({"profile"})


class OverrideError(AgentError):
    """A change of a setting is not one."""

    code = "override"


def value_of(name: str, text: str) -> int | str:
    """Return *text* as the kind that setting *name* has.

    Raises:
        OverrideError: it is no number, and should be.
    """
    if name in TEXTS:
        return text
    try:
        return int(text)
    except ValueError as error:
        raise OverrideError(f"{name!r} takes a whole number.") from error


def read(disk: "Disk") -> dict[str, int | str]:
    """Return what was changed, by name."""
    found = _load(disk)["now"]
    return {name: value for name, value in found.items() if name in MAY_CHANGE}


def last(disk: "Disk") -> str | None:
    """Return which setting was changed last; None if none can be taken back."""
    before = _load(disk)["before"]
    return str(before[-1][0]) if before else None


def change(disk: "Disk", name: str, value: int | str) -> None:
    """Let *name* be *value* from the next start on.

    Raises:
        StorageError: the disk refuses.
    """
    found = _load(disk)
    found["before"] = [*found["before"], [name, found["now"].get(name)]][-CHANGES_MAX:]
    found["now"][name] = value
    _store(disk, found)


def undo(disk: "Disk") -> None:
    """Take back the last change, if there is one.

    Raises:
        StorageError: the disk refuses.
    """
    found = _load(disk)
    if not found["before"]:
        return
    name, value = found["before"].pop()
    if value is None:
        found["now"].pop(name, None)
    else:
        found["now"][name] = value
    _store(disk, found)


def forget(disk: "Disk") -> None:
    """Forget every change.

    Raises:
        StorageError: the disk refuses.
    """
    for path in (FILE, f"{FILE}.tmp"):
        disk.unlink(path)
    disk.fsync_dir("data")


def _load(disk: "Disk") -> dict[str, Any]:
    nothing: dict[str, Any] = {"now": {}, "before": []}
    with suppress(StorageError, ValueError, KeyError, TypeError, RecursionError):
        if not disk.exists(FILE):
            return nothing
        crc, _, body = disk.read(FILE, 0, FILE_BYTES_MAX).partition(b"\n")
        if int(crc, 16) == zlib.crc32(body):
            found = json.loads(body)
            return {"now": dict(found["now"]), "before": [list(one) for one in found["before"]]}
    return nothing


def _store(disk: "Disk", found: dict[str, Any]) -> None:
    from oleada_agent.journal import write_whole  # noqa: PLC0415 - only when something changes

    body = json.dumps(found).encode()
    write_whole(disk, FILE, b"%08x\n%b" % (zlib.crc32(body), body))
