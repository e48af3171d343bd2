"""When two boxes without power are the same: the same will become of them.

What only counts is left out: how often the box has started, the names of boots, the ids
of messages, and how high the sequence of a record is (which of two records is the newer
one is kept). So is ``run/``, which the boot program empties before it looks at anything.
"""

import json
import re
from functools import lru_cache
from typing import Any, Final

from oleada_agent.boot import control
from oleada_agent.boot.system import BOOT_COUNT
from oleada_agent.journal import FILES as JOURNALS
from oleada_agent.outbox import DIRECTORY

from oleada_lab.sim.disk import SimDisk
from oleada_lab.sim.inode import Content, read_pages
from oleada_lab.sweep.world import World

BOOT_ID: Final = re.compile(r"\d{8}-[0-9a-f]{8}")
SPELT_MAX: Final = 4_000
"""Contents whose spelling is kept: more than one story of a sweep has."""
Fingerprint = tuple[Any, ...]


def fingerprint(world: World) -> Fingerprint:
    """Return a value that is equal for two worlds in which the same happens next."""
    names: dict[str, str] = {}
    files = []
    for path, content in world.disk.files().items():
        if path.startswith("run/") or path == BOOT_COUNT:
            continue
        if path.startswith("data/journal."):
            files.append((path, _journal(content, names)))
        elif path.startswith(f"{DIRECTORY}/"):
            files.append(_message(path, content, names))
        elif path not in control.FILES:
            files.append((path, content))
    order = (_newest_journal(world.disk), _controls(world.disk))
    return (tuple(files), order, world.desk.facts(), *_promised(world))


def _promised(world: World) -> tuple[Any, ...]:
    return world.pings, world.promises, world.put, world.has_answered, world.lies


def _journal(content: Content, names: dict[str, str]) -> Any:
    state = _state(content)
    return content if state is None else BOOT_ID.sub(lambda found: _rename(found[0], names), state)


@lru_cache(SPELT_MAX)
def _state(content: Content) -> str | None:
    """Return the state in a journal, spelt in one way; None when it is no journal."""
    try:
        return json.dumps(json.loads(_text(content))["state"], sort_keys=True)
    except (ValueError, KeyError, TypeError):
        return None


def _message(path: str, content: Content, names: dict[str, str]) -> tuple[str, Any]:
    said = _said(content)
    if said is None:
        return "message", content
    kind = path.rpartition("/")[2].split("-")[1:2]
    text = BOOT_ID.sub(lambda found: _rename(found[0], names), said)
    return f"{kind}{path.endswith('.tmp')}", text


@lru_cache(SPELT_MAX)
def _said(content: Content) -> str | None:
    """Return a message without what counts up, spelt in one way; None when it is none."""
    try:
        message = json.loads(_text(content))
        for counted in ("id", "at_ms", "seq", "boot_id", "crc32"):
            message.pop(counted, None)
    except (ValueError, AttributeError, TypeError):
        return None
    return json.dumps(message, sort_keys=True)


def _rename(boot_id: str, names: dict[str, str]) -> str:
    """Return a name that says only which other ones are of the same boot."""
    return names.setdefault(boot_id, f"boot {len(names)}")


def _newest_journal(disk: SimDisk) -> str:
    found = []
    for path in JOURNALS:
        if disk.exists(path):
            try:
                found.append((int(json.loads(disk.read(path))["seq"]), path))
            except (ValueError, KeyError, TypeError):
                continue
    return max(found, default=(0, ""))[1]


def _controls(disk: SimDisk) -> tuple[Any, ...]:
    """Return what both records say, the one that counts first."""
    found = []
    for path in control.FILES:
        entry = control.decode(disk.read(path)) if disk.exists(path) else None
        if entry is not None:
            found.append((entry[0], path, entry[1]))
    return tuple((path, said) for _, path, said in sorted(found, reverse=True, key=lambda e: e[0]))


def _text(content: Content) -> str:
    size_bytes, pages = content
    return read_pages(dict(pages), 0, size_bytes).decode(errors="replace") if size_bytes else ""
