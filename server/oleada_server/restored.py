"""What the rest of the server must know of a restore: it may not be whole, and what is newer.

A restored database may give a number again that was given after the backup. Names of
assignments therefore carry a tag from the restore on (``AS-18-3fa9c1``), so that a box
that still speaks of the lost ``AS-18`` is not taken to mean the new one.
"""

import secrets
from pathlib import Path
from typing import Final, NamedTuple

from flask import current_app
from sqlalchemy import func, select

from oleada_server.db import db
from oleada_server.errors import ServerError
from oleada_server.messaging.models import Counter

MARKER: Final = "restore.unfinished"
TAG_BYTES: Final = 3
_TAGS: Final = "assignments-from:"
_CACHE: Final = "oleada_assignment_tags"


class RestoreUnfinishedError(ServerError):
    """A restore was interrupted, so the data directory is not whole."""

    status = 500
    code = "restore-unfinished"

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"A restore into {directory} was interrupted. Run the same `oleada restore` again; it "
            "begins anew."
        )


class Tag(NamedTuple):
    """Rows from *first_id* on are named with *text*, until a later tag."""

    first_id: int
    text: str


def check_finished(directory: Path) -> None:
    """Accept a data directory into which no restore was interrupted.

    Raises:
        RestoreUnfinishedError: one was.
    """
    if (directory / MARKER).exists():
        raise RestoreUnfinishedError(directory)


def was_restored() -> bool:
    """Return whether this database ever came from a backup."""
    return bool(_tags())


def tag_of(box_id: int) -> str:
    """Return the tag of the assignment with row *box_id*; empty before the first restore."""
    return max((tag for tag in _tags() if tag.first_id <= box_id), default=Tag(0, "")).text


def is_from_backup(box_id: int) -> bool:
    """Return whether row *box_id* came from the backup of the newest restore."""
    return box_id < max((tag.first_id for tag in _tags()), default=0)


def begin_tag(first_id: int) -> None:
    """Name assignments from row *first_id* on anew; in the transaction of a restore."""
    text = secrets.token_hex(TAG_BYTES)
    db.session.add(Counter(name=f"{_TAGS}{text}", value=first_id))
    db.session.flush()
    current_app.extensions.pop(_CACHE, None)


def _tags() -> list[Tag]:
    """Return every tag; read once a process, because nothing runs while a restore does."""
    if _CACHE not in current_app.extensions:
        start = func.length(_TAGS)
        query = select(Counter.value, Counter.name).where(
            func.substr(Counter.name, 1, start) == _TAGS
        )
        rows = db.session.execute(query)
        found = [Tag(value, name.removeprefix(_TAGS)) for value, name in rows]
        current_app.extensions[_CACHE] = found
    tags: list[Tag] = current_app.extensions[_CACHE]
    return tags
