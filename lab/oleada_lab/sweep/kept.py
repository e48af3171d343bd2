"""What the disk of a box has of its trust, whether the box can read it by now or not."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, lru_cache
from typing import Final

from oleada_agent import enrol
from oleada_agent.errors import StorageError
from oleada_agent.machine_states import State
from oleada_agent.trust.floor import TimeFloor
from oleada_agent.trust.store import SECOND_COPY, file_name, inside

from oleada_lab.sim.disk import SimDisk
from oleada_lab.sweep.world import Promises

DENIED = inside(enrol.TRUST, "denied")
AUDIT = inside(enrol.TRUST, "audit")


BEHIND_MS: Final = 3_600_000
"""The time floor is stored in steps of an hour."""


def promises(disk: SimDisk, state: State, floor: TimeFloor) -> Promises:
    """Return what a box goes by whose machine is in *state* and whose time floor is *floor*."""
    if disk.misdeeds:  # what it has refused is no promise
        floor = TimeFloor(disk, enrol.TRUST)
    return Promises(
        version(disk, "root"),
        version(disk, "timestamp"),
        denied(disk),
        state.security_floor,
        state.assignment_seq,
        max(0, floor.floor_ms - BEHIND_MS),
        audited(disk),
    )


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
        with suppress(ValueError, LookupError, TypeError):  # what has rotted says anything
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
