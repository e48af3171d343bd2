"""Whom and what a box trusts, in words, read from its directory without disturbing it.

Every signature is checked on the way down from the root that the box holds; what does not
verify is not shown. Nothing is mended, and no server is asked.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar

from oleada_wire import messages
from oleada_wire.envelope import RoleKeys
from oleada_wire.errors import WireError
from oleada_wire.messages import AuditHead, Deny

from oleada_agent import identity
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError
from oleada_agent.trust import layers, metadata, reading
from oleada_agent.trust.client import BOX, TARGETS_BYTES_MAX, check_root_by_itself
from oleada_agent.trust.errors import TrustError
from oleada_agent.trust.floor import TimeFloor
from oleada_agent.trust.store import TRUST, MetadataStore, inside

NONE: Final = "nothing that verifies"
KEYID_CHARS: Final = 12


class _Read(Protocol):
    @property
    def document(self) -> metadata.Document: ...


R = TypeVar("R", bound=_Read)
M = TypeVar("M", Deny, AuditHead)
Pair = tuple[str, str]


def look(box: Path) -> Iterator[Pair]:
    """Yield name and words of what the box in directory *box* trusts, from the root down."""
    disk = RealDisk(box)
    store = MetadataStore(disk, TRUST)
    root = _newest(store, "root", reading.root, lambda one: check_root_by_itself(one, BOX))
    floor_ms = TimeFloor(disk, TRUST).floor_ms
    yield "time floor", _moment(floor_ms) if floor_ms else "none yet"
    if root is None:
        yield "root", NONE
        return
    yield "root", _words(root.document, root.roles["root"])
    for name, read in (("timestamp", reading.timestamp), ("snapshot", reading.snapshot)):
        yield name, _shown(store, name, read, root.roles[name], root.keys)[0]
    words, targets = _shown(store, "targets", reading.targets, root.roles["targets"], root.keys)
    yield "targets", words
    if targets is None:
        return
    yield from _of_models(box, store, targets)
    yield from _of_envelopes(disk, layers.roles_of(targets))


def _of_models(box: Path, store: MetadataStore, targets: metadata.Targets) -> Iterator[Pair]:
    with suppress(AgentError):
        model = identity.load(RealDisk(box)).hardware_model
        role = targets.role_of(model)
        if role is None:
            yield model, "nobody may sign for it"
            return
        words, found = _shown(store, model, reading.targets, role, targets.keys)
        yield model, words
        for path, target in sorted(found.targets.items() if found is not None else ()):
            digest = target.hashes.get("sha256", "")
            yield f"  {path}", f"{target.length} bytes, SHA-256 {digest}"


def _of_envelopes(disk: RealDisk, roles: dict[str, RoleKeys]) -> Iterator[Pair]:
    for name in (messages.DIRECTOR_ROLE, messages.WAVE_ROLE):
        held = roles.get(name)
        if held is None:
            yield name, "nobody"
            continue
        keyids = ", ".join(f"{keyid[:KEYID_CHARS]}…" for keyid in sorted(held.keys))
        yield name, f"{held.threshold} of {len(held.keys)}: {keyids}"
    director = roles.get(messages.DIRECTOR_ROLE)
    deny = _message(disk, "denied", "list", Deny, director)
    yield "denied images", ", ".join(deny.digests) if deny and deny.digests else "none"
    head = _message(disk, "audit", "head", AuditHead, director)
    yield (
        "audit head",
        "none yet"
        if head is None
        else (f"{head.size} entries, root {head.root_sha256}, signed {_moment(head.signed_ms)}"),
    )


def _shown(
    store: MetadataStore,
    name: str,
    read: Callable[[bytes, int], R],
    role: metadata.Role,
    keys: metadata.KeysById,
) -> tuple[str, R | None]:
    found = _newest(store, name, read, lambda one: one.document.check(name, role, keys))
    return (NONE if found is None else _words(found.document, role)), found


def _newest(
    store: MetadataStore, name: str, read: Callable[[bytes, int], R], check: Callable[[R], None]
) -> R | None:
    found: R | None = None
    for data in store.read(name):
        with suppress(TrustError):
            one = read(data, TARGETS_BYTES_MAX)
            check(one)
            if found is None or one.document.version > found.document.version:
                found = one
    return found


def _message(
    disk: RealDisk, folder: str, name: str, shape: type[M], role: RoleKeys | None
) -> M | None:
    if role is None:
        return None
    for data in MetadataStore(disk, inside(TRUST, folder)).read(name):
        with suppress(WireError):
            return messages.open_message(shape, data, role)
    return None


def _words(document: metadata.Document, role: metadata.Role) -> str:
    until = f"{document.expires:%Y-%m-%d %H:%M} UTC"
    keys = f"{role.threshold} of {len(role.keyids)} keys must sign"
    return f"version {document.version}, until {until}, {keys}"


def _moment(at_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms after 1970"
