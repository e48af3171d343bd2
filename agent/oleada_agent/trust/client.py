"""The client workflow of TUF: from the root a box was born with to one target.

Feeds on bytes (``get(name, limit)``), is told ``now``, keeps what it has verified in a
store, and raises an error that names the attack. Nothing is kept before it is trusted.
Source: TUF specification 1.0, 5 (detailed client workflow).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from oleada_agent.trust import metadata, reading
from oleada_agent.trust.errors import (
    BadSignaturesError,
    EndlessDataError,
    FreezeError,
    MissingMetadataError,
    MixAndMatchError,
    RollbackError,
    TargetNotFoundError,
    TrustError,
    WeakPolicyError,
)
from oleada_agent.trust.store import MetadataStore, file_name

ROOT_BYTES_MAX: Final = 512_000
TIMESTAMP_BYTES_MAX: Final = 16_384
SNAPSHOT_BYTES_MAX: Final = 2_000_000
TARGETS_BYTES_MAX: Final = 5_000_000
ROOT_ROTATIONS_MAX: Final = 256
DELEGATIONS_MAX: Final = 32

Get = Callable[[str, int], bytes | None]
"""``get(name, size_bytes_max)``: the file's bytes, or None when it is not there.

Must stop reading after *size_bytes_max* + 1 bytes; a longer answer is refused here.
"""


D = TypeVar("D", metadata.Timestamp, metadata.Snapshot)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a reader asks beyond the specification.

    Attributes:
        root_threshold_min: Keys that must sign the root.
    """

    root_threshold_min: int


SPECIFICATION: Final = Policy(root_threshold_min=1)
BOX: Final = Policy(root_threshold_min=2)


class TrustedClient:
    """One run of the workflow; make a new one for each update.

    Args:
        store: Holds at least a root.
        get: Fetches by name.
        now: Aware UTC; on a box never before its time floor.

    Raises:
        TrustError: the store holds no root that is valid by itself.
    """

    def __init__(self, store: MetadataStore, get: Get, now: datetime, policy: Policy) -> None:
        self._store = store
        self._get = get
        self._now = now
        self._policy = policy
        self.root = self._stored_root()
        self._timestamp: metadata.Timestamp | None = None
        self._snapshot: metadata.Snapshot | None = None
        self._targets: dict[tuple[str, str], metadata.Targets] = {}

    @property
    def timestamp(self) -> metadata.Timestamp:
        """The trusted timestamp; only after :meth:`refresh`."""
        assert self._timestamp is not None, "refresh first"  # noqa: S101
        return self._timestamp

    @property
    def snapshot(self) -> metadata.Snapshot:
        """The trusted snapshot; only after :meth:`refresh`."""
        assert self._snapshot is not None, "refresh first"  # noqa: S101
        return self._snapshot

    @property
    def targets(self) -> metadata.Targets:
        """The trusted top-level targets; only after :meth:`refresh`."""
        return self._targets["root", "targets"]

    def refresh(self) -> None:
        """Walk root, timestamp, snapshot and targets; keep each as soon as it is trusted.

        Raises:
            TrustError: says which attack this looks like; what was kept stays valid.
        """
        self._update_root()
        self._update_timestamp()
        self._update_snapshot()
        self._load_targets("targets", "root")

    def is_rotated(self) -> bool:
        """Return whether the timestamp that is stored is of keys that root names no more."""
        found = False
        for data in self._store.read("timestamp"):
            try:
                self._check_top("timestamp", reading.timestamp(data, TIMESTAMP_BYTES_MAX).document)
            except BadSignaturesError:
                found = True
            except TrustError:
                continue  # torn
            else:
                return False
        return found

    def find(self, path: str) -> metadata.Target:
        """Return target *path*, from the first role in order that may speak for it.

        Raises:
            TargetNotFoundError: no such role names it.
            TrustError: a role on the way is not to be trusted.
        """
        to_visit = [("targets", "root")]
        visited: set[str] = set()
        while to_visit and len(visited) <= DELEGATIONS_MAX:
            name, delegator = to_visit.pop()
            if name in visited:
                continue
            role = self._load_targets(name, delegator)
            if path in role.targets:
                return role.targets[path]
            visited.add(name)
            children = []
            for child, terminating in role.delegates_for(path):
                children.append((child, name))
                if terminating:
                    to_visit.clear()
                    break
            to_visit.extend(reversed(children))
        raise TargetNotFoundError(f"No trusted role names target {path[:120]!r}.")

    def role(self, name: str) -> metadata.Targets:
        """Return the trusted metadata of *name*, delegated by the top-level targets.

        Raises:
            TrustError: it is not delegated or not to be trusted.
        """
        return self._load_targets(name, "targets")

    def _stored_root(self) -> metadata.Root:
        found: metadata.Root | None = None
        newest = b""
        refusal: TrustError = MissingMetadataError("No trusted root; run 'init' with one first.")
        for data in self._store.read("root"):
            try:
                root = reading.root(data, ROOT_BYTES_MAX)
                check_root_by_itself(root, self._policy)
            except TrustError as error:
                refusal = error
                continue
            if found is None or root.document.version > found.document.version:
                found, newest = root, data
        if found is None:
            raise refusal
        self._store.mend("root", newest)
        return found

    def _update_root(self) -> None:
        first = self.root.document.version + 1
        for version in range(first, first + ROOT_ROTATIONS_MAX):
            data = self._fetch(f"{version}.root.json", ROOT_BYTES_MAX)
            if data is None:
                break
            root = reading.root(data, ROOT_BYTES_MAX)
            root.document.check("root", self.root.roles["root"], self.root.keys)
            check_root_by_itself(root, self._policy)
            if root.document.version != version:
                raise RollbackError(
                    f"'{version}.root.json' is version {root.document.version} of the root."
                )
            self._store.write("root", data)
            self.root = root
        self._refuse_expired("root", self.root.document)

    def _update_timestamp(self) -> None:
        known = self._newest_stored("timestamp", reading.timestamp, TIMESTAMP_BYTES_MAX)
        data = self._fetch_needed("timestamp.json", TIMESTAMP_BYTES_MAX)
        fresh = reading.timestamp(data, TIMESTAMP_BYTES_MAX)
        self._check_top("timestamp", fresh.document)
        if known is not None:
            _refuse_older("timestamp", fresh.document.version, known.document.version)
        if known is not None and fresh.document.version == known.document.version:
            # The same version with other content is the one already trusted (5.4.3.1).
            self._refuse_expired("timestamp", known.document)
            self._timestamp = known
            return
        if known is not None:
            _refuse_older("snapshot", fresh.snapshot.version, known.snapshot.version)
        self._refuse_expired("timestamp", fresh.document)
        self._store.write("timestamp", data)
        self._timestamp = fresh

    def _update_snapshot(self) -> None:
        wanted = self.timestamp.snapshot
        known = self._newest_stored("snapshot", reading.snapshot, SNAPSHOT_BYTES_MAX)
        if (
            known is not None
            and known.document.version == wanted.version
            and known.document.expires > self._now
        ):
            self._snapshot = known
            return
        limit = wanted.length or SNAPSHOT_BYTES_MAX
        data = self._fetch_needed(self._versioned("snapshot", wanted.version), limit)
        metadata.check_bytes("snapshot.json", data, wanted.length, wanted.hashes)
        fresh = reading.snapshot(data, limit)
        self._check_top("snapshot", fresh.document)
        if known is not None:
            _refuse_older_parts(fresh, known)
        self._refuse_expired("snapshot", fresh.document)
        _refuse_other_version("snapshot", fresh.document.version, wanted.version)
        self._store.write("snapshot", data)
        self._snapshot = fresh

    def _load_targets(self, name: str, delegator: str) -> metadata.Targets:
        if (delegator, name) in self._targets:
            return self._targets[delegator, name]
        wanted = self.snapshot.meta.get(f"{name}.json")
        if wanted is None:
            raise MissingMetadataError(f"The snapshot does not name '{name[:80]}.json'.")
        for data in self._store.read(name):
            try:
                found = self._trusted_targets(name, delegator, data, wanted)
            except TrustError:
                continue  # an older version, or a copy that a power cut tore: fetch it
            self._store.mend(name, data)
            self._targets[delegator, name] = found
            return found
        limit = wanted.length or TARGETS_BYTES_MAX
        data = self._fetch_needed(self._versioned(name, wanted.version), limit)
        found = self._trusted_targets(name, delegator, data, wanted)
        self._store.write(name, data)
        self._targets[delegator, name] = found
        return found

    def _trusted_targets(
        self, name: str, delegator: str, data: bytes, wanted: metadata.FileMeta
    ) -> metadata.Targets:
        metadata.check_bytes(f"{name}.json", data, wanted.length, wanted.hashes)
        found = reading.targets(data, TARGETS_BYTES_MAX)
        role, keys = self._delegated(name, delegator)
        found.document.check(name, role, keys)
        _refuse_other_version(name, found.document.version, wanted.version)
        self._refuse_expired(name, found.document)
        return found

    def _delegated(self, name: str, delegator: str) -> tuple[metadata.Role, metadata.KeysById]:
        if delegator == "root":
            return self.root.roles[name], self.root.keys
        # Whoever delegates was loaded before its child: any of its own delegators will do.
        parent = next(
            targets for (_, loaded), targets in self._targets.items() if loaded == delegator
        )
        role = parent.role_of(name)
        if role is None:
            raise TargetNotFoundError(f"'{delegator}' delegates nothing to '{name[:80]}'.")
        return role, parent.keys

    def _newest_stored(self, name: str, read: Callable[[bytes, int], D], limit: int) -> D | None:
        """Return the newest stored copy of *name* that verifies; expired ones count too."""
        found: D | None = None
        newest = b""
        for data in self._store.read(name):
            try:
                read_back = read(data, limit)
                self._check_top(name, read_back.document)
            except TrustError:
                continue  # torn by a power cut, or signed by keys that were rotated away
            if found is None or read_back.document.version > found.document.version:
                found, newest = read_back, data
        if found is not None:
            self._store.mend(name, newest)
        return found

    def _check_top(self, name: str, document: metadata.Document) -> None:
        document.check(name, self.root.roles[name], self.root.keys)

    def _refuse_expired(self, name: str, document: metadata.Document) -> None:
        if document.expires <= self._now:
            raise FreezeError(
                f"'{name}' expired at {document.expires:%Y-%m-%d %H:%M} UTC and it is now "
                f"{self._now:%Y-%m-%d %H:%M}; newer metadata may be held back."
            )

    def _versioned(self, name: str, version: int) -> str:
        prefix = f"{version}." if self.root.consistent_snapshot else ""
        return f"{prefix}{file_name(name)}"

    def _fetch(self, name: str, size_bytes_max: int) -> bytes | None:
        data = self._get(name, size_bytes_max)
        if data is not None and len(data) > size_bytes_max:
            raise EndlessDataError(name, size_bytes_max)
        return data

    def _fetch_needed(self, name: str, size_bytes_max: int) -> bytes:
        data = self._fetch(name, size_bytes_max)
        if data is None:
            raise MissingMetadataError(f"The repository has no '{name}'.")
        return data


def check_root_by_itself(root: metadata.Root, policy: Policy) -> None:
    """Return if *root* is signed as it says itself, and as *policy* asks.

    Raises:
        BadSignaturesError: it is not signed by enough of its own keys.
        WeakPolicyError: it asks for fewer signatures than *policy*.
    """
    root.document.check("root", root.roles["root"], root.keys)
    threshold = root.roles["root"].threshold
    if threshold < policy.root_threshold_min:
        raise WeakPolicyError(
            f"The root asks for {threshold} signatures; "
            f"at least {policy.root_threshold_min} are needed here."
        )


def _refuse_older(name: str, version: int, known: int) -> None:
    if version < known:
        raise RollbackError(f"'{name}' is version {version}; {known} was trusted before.")


def _refuse_older_parts(fresh: metadata.Snapshot, known: metadata.Snapshot) -> None:
    for name, meta in known.meta.items():
        if name not in fresh.meta:
            raise RollbackError(f"The new snapshot no longer names '{name}'.")
        _refuse_older(name, fresh.meta[name].version, meta.version)


def _refuse_other_version(name: str, version: int, wanted: int) -> None:
    if version != wanted:
        raise MixAndMatchError(f"'{name}' is version {version}; {wanted} belongs here.")
