"""What the disk of a box has of its trust, whether the box can read it by now or not."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, lru_cache

from oleada_agent import enrol
from oleada_agent.errors import StorageError
from oleada_agent.trust.store import SECOND_COPY, file_name, inside

from oleada_lab.sim.disk import SimDisk

DENIED = inside(enrol.TRUST, "denied")
AUDIT = inside(enrol.TRUST, "audit")


def version(disk: SimDisk, role: str) -> int:
    """Return the highest version of *role* in its copies; 0 without a readable one."""
    return _highest(disk, enrol.TRUST, role, _version)


def denied(disk: SimDisk) -> int:
    """Return how many digests the stored deny list names."""
    return _highest(disk, DENIED, "list", _digests)


def audited(disk: SimDisk) -> int:
    """Return of how many entries the highest stored head of the audit trail is."""
    return _highest(disk, AUDIT, "head", _entries)


def _highest(disk: SimDisk, folder: str, role: str, said: Callable[[bytes], int]) -> int:
    found = 0
    for data in _copies(disk, folder, role):
        with suppress(ValueError):
            found = max(found, said(data))
    return found


def _copies(disk: SimDisk, folder: str, role: str) -> Iterator[bytes]:
    for path in _paths(folder, role):
        with suppress(StorageError):
            yield disk.read(path)


@cache
def _paths(folder: str, role: str) -> tuple[str, ...]:
    name = file_name(role)
    return inside(folder, name), inside(inside(folder, SECOND_COPY), name)


@lru_cache
def _version(data: bytes) -> int:
    number: int = json.loads(data)["signed"]["version"]
    return number


@lru_cache
def _digests(data: bytes) -> int:
    return len(json.loads(b64decode(json.loads(data)["payload"]))["digests"])


@lru_cache
def _entries(data: bytes) -> int:
    number: int = json.loads(b64decode(json.loads(data)["payload"]))["size"]
    return number
