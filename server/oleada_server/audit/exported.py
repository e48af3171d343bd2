"""The trail as lines of JSON: for an auditor who keeps it elsewhere, and checks it there.

One entry a line, oldest first, with everything that its hash covers. Each export ends with
a line that says how many entries it had and which was the last, so that one that was cut
on its way is known as such. What is added later is appended, ending line and all.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from oleada_server.errors import BadInputError

LINE_BYTES_MAX: Final = 4 * 1024 * 1024
FIELDS: Final = (
    "id", "at", "actor", "action", "object_ref", "reason", "before", "after", "request_id",
    "address", "previous_sha256", "entry_sha256",
)  # fmt: skip
END: Final = "end_of_export"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as a line has it; the names and meanings of ``models.AuditEvent``."""

    id: int
    at: datetime
    actor: str
    action: str
    object_ref: str
    reason: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None
    address: str | None
    previous_sha256: str
    entry_sha256: str


def lines(entries: Iterable[Any]) -> Iterator[str]:
    """Yield *entries*, in order, as lines without their ends, then the line that ends them."""
    count, last_id, last_sha256 = 0, None, None
    for entry in entries:
        found = {name: getattr(entry, name) for name in FIELDS}
        yield json.dumps(found | {"at": entry.at.isoformat()}, sort_keys=True)
        count, last_id, last_sha256 = count + 1, entry.id, entry.entry_sha256
    end = {END: True, "entries": count, "last_id": last_id, "last_entry_sha256": last_sha256}
    yield json.dumps(end, sort_keys=True)


def is_end(line: str) -> bool:
    """Return whether *line* ends an export."""
    return END in _object(line, 0)


def read(given: Iterable[str]) -> Iterator[Entry]:
    """Yield the entries in lines that :func:`lines` made, perhaps of several exports.

    Raises:
        BadInputError: A line is no entry, or the last export is not whole.
    """
    count, last = 0, None
    is_whole = True
    for number, line in enumerate(given, start=1):
        if not line.strip():
            continue
        found = _object(line, number)
        if END in found:
            _check_end(found, count, last, number)
            count, is_whole = 0, True
            continue
        last = _entry(found, number)
        count, is_whole = count + 1, False
        yield last
    if not is_whole:
        raise BadInputError(
            f"The export ends after {count} entries without the line that ends it: it was cut. "
            "Fetch it again."
        )


def _check_end(found: Mapping[str, Any], count: int, last: Entry | None, number: int) -> None:
    fits = found.get("entries") == count
    if count and last is not None:
        fits = fits and found.get("last_entry_sha256") == last.entry_sha256
    if not fits:
        raise BadInputError(
            f"Line {number} ends an export of {found.get('entries')} entries, and {count} are "
            "there: lines are missing, or some are too many."
        )


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"Line {number} is no entry of the audit trail: {error}") from error
    if not isinstance(found, dict):
        raise BadInputError(f"Line {number} is no entry of the audit trail.")
    return found


def _entry(found: Mapping[str, Any], number: int) -> Entry:
    try:
        at = datetime.fromisoformat(found["at"])
        entry = Entry(**{name: found[name] for name in FIELDS if name != "at"}, at=at)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"Line {number} is no entry of the audit trail: {error}") from error
    if type(entry.id) is not int:
        raise BadInputError(f"Line {number} is no entry of the audit trail: its id is no number.")
    return entry
