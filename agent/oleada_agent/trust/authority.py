"""Who may say what to this box: the three signed layers, and what they agree on.

1. Metadata (TUF): what may ever run. 2. Wave: which release may go to which boxes.
3. Assignment: do it now. The box does nothing unless all three agree; a server that
has lost all its online keys can delay, but neither run new code nor widen a wave.
Source: trust design 1.5.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from oleada_wire import envelope, messages
from oleada_wire.errors import BadSignatureError, MalformedMessageError, WireError
from oleada_wire.messages import Assign, Assignment, Cmd, Deny, Lease, Meta, Wave, Waves
from oleada_wire.words import Reason

from oleada_agent.errors import StorageError
from oleada_agent.machine_events import Authorised, AuthorityRefused, AuthorityUnknown, Event
from oleada_agent.ports import Disk
from oleada_agent.trust import layers
from oleada_agent.trust.client import BOX, TrustedClient
from oleada_agent.trust.errors import (
    FreezeError,
    MissingMetadataError,
    TargetNotFoundError,
    TrustError,
)
from oleada_agent.trust.floor import AHEAD_MAX_MS, TimeFloor
from oleada_agent.trust.metadata import Target
from oleada_agent.trust.store import MetadataStore, inside
from oleada_agent.trust.trusted_time import TrustedTime
from oleada_agent.trust.witness import Witness

UNKNOWN_LIMIT_MS: Final = 600_000
"""So long metadata or wave may lag behind an assignment before it is refused: of the time
in which they could have come, because a box that hears nobody knows nothing new."""
OWN: Final = (Assign, Lease, Cmd)

Signed = TypeVar("Signed", Assign, Lease, Cmd)


@dataclass(frozen=True, slots=True)
class Box:
    """What the box knows of itself before any message has come."""

    device_id: str
    hardware_model: str
    provides: frozenset[str] = frozenset()


class Authority:
    """Keeps what is signed, and decides by it; the ``Verifier`` port of the machine.

    Args:
        box: Whose box this is.
        folder: Of the *disk*, ``data/trust``; holds the root from enrolment on.
        now_ms: The wall clock, which may be wrong.
        steady_ms: A clock that never jumps.
        capacity_bytes: The largest image that the spare slot takes.

    Attributes:
        time: What time it is, as far as the box can know.
        ask_time: Asks the server for it; called when the box's clock alone says that
            something has ended. Set by who has a connection.
        witness: Of the server's audit trail.
        is_listening: Whether there is a connection over which metadata and waves come.
    """

    def __init__(
        self,
        box: Box,
        disk: Disk,
        folder: str,
        *,
        now_ms: Callable[[], int],
        steady_ms: Callable[[], int],
        capacity_bytes: Callable[[], int],
    ) -> None:
        self._box = box
        self._store = MetadataStore(disk, folder)
        self._denied_store = MetadataStore(disk, inside(folder, "denied"))
        self.witness = Witness(disk, inside(folder, "audit"))
        self.floor = TimeFloor(disk, folder)
        self.time = TrustedTime(
            floor_ms=lambda: self.floor.floor_ms, now_ms=now_ms, steady_ms=steady_ms
        )
        self.ask_time: Callable[[], None] = lambda: None
        self._steady_ms = steady_ms
        self._capacity_bytes = capacity_bytes
        self._trusted: TrustedClient | None = None
        self._roles: dict[str, envelope.RoleKeys] = {}
        self._waves: tuple[str, ...] = ()
        self._deny: Deny | None = None
        self._unknown_since: dict[tuple[str, int], int] = {}
        self.is_listening = True

    @property
    def is_ready(self) -> bool:
        """Whether metadata has been verified, so that signatures can be checked."""
        return self._trusted is not None

    @property
    def denied(self) -> tuple[str, ...]:
        """Digests that must not be installed."""
        return self._deny.digests if self._deny is not None else ()

    def now(self) -> datetime:
        """Return the time that expiry is judged by."""
        return _utc(self.time.now_ms())

    def doubts(self, certain_from_ms: int) -> bool:
        """Return whether the box's own clock alone says that *certain_from_ms* has passed.

        The server is asked then. Nothing is refused for good, and nothing is done either.
        """
        if self.time.is_fresh or self.time.least_ms() >= certain_from_ms:
            return False
        self.ask_time()
        return True

    def stale(self) -> FreezeError | None:
        """Return what has expired of what is trusted, by the time that the box goes by now."""
        if self._trusted is not None:
            try:
                layers.check_fresh(self._trusted, self._box.hardware_model, self.now())
            except layers.NotYetError as late:
                return FreezeError(str(late))
        return None

    def load(self) -> None:
        """Take up what was trusted before this start; needs no network.

        Raises:
            TrustError: nothing usable is stored, or it has certainly expired since.
        """
        try:
            self._trust(lambda name, _: self._stored(name, copy=0))
        except TrustError:  # the first copy may be torn
            self._trust(lambda name, _: self._stored(name, copy=1))

    def accept_meta(self, meta: Meta) -> WireError | TrustError | None:
        """Verify the metadata files of the model and trust them from now on.

        Returns:
            What speaks against the head of the audit trail that came along; it decides nothing.

        Raises:
            TrustError: they are refused; what was trusted before stays so.
        """
        files = meta.files

        def get(name: str, size_bytes_max: int) -> bytes | None:
            found = files.get(name)
            if found is None and not name.endswith("root.json"):
                version, _, plain = name.partition(".")
                found = files.get(plain) if version.isdigit() else None
            return None if found is None else found.encode()[: size_bytes_max + 1]

        self._trust(get)
        try:
            if meta.audit_head is not None:
                self.witness.see(meta.audit_head, self._role(messages.DIRECTOR_ROLE))
        except (WireError, TrustError) as error:
            return error
        return None

    def accept_waves(self, waves: Waves) -> WireError | None:
        """Keep the open waves of the model; each is verified again when it is needed.

        Returns:
            What speaks against one of them, for the server to be told; its keys may still come.
        """
        self._waves = waves.waves
        for text in waves.waves if self.is_ready else ():
            try:
                messages.open_message(Wave, text.encode(), self._role(messages.WAVE_ROLE))
            except WireError as error:
                return error
        return None

    def accept_deny(self, data: bytes) -> bool:
        """Keep the deny list in envelope *data*; return whether it is news.

        Raises:
            WireError: it is not a deny list that the director signs for this model.
        """
        if not self._take_deny(data):
            return False
        with suppress(StorageError):  # it holds in memory, and the broker keeps it
            self._denied_store.write("list", data)
        return True

    def open(self, shape: type[Signed], data: bytes) -> Signed:
        """Return the message of *shape* that the director signs for this box.

        Raises:
            WireError: it is malformed, not signed, or for another box.
        """
        message = messages.open_message(shape, data, self._role(messages.DIRECTOR_ROLE))
        if message.device_id != self._box.device_id:
            raise BadSignatureError(
                f"A '{messages.KINDS[shape]}' for box {message.device_id} came here, "
                f"to {self._box.device_id}; it is not obeyed."
            )
        self._check_number(message)
        self._raise_floor(message.header.at_ms)
        return message

    def open_lease(self, data: bytes) -> Lease | None:
        """Return the lease in *data*, and believe the time in it.

        Returns:
            None when it answers no question of this boot: a duplicate, a replay, or held back.

        Raises:
            WireError: as ``open`` does.
        """
        lease = self.open(Lease, data)
        is_answer = lease.request_id is None or self.time.answered(
            lease.request_id, lease.header.at_ms
        )
        return lease if is_answer else None

    def authorise(self, assignment: Assignment, security_floor: int, version: str) -> Event | None:
        """Say whether *assignment* may run on a box that runs *version*."""
        attempt = (assignment.assignment_id, assignment.attempt)
        try:
            layers.check_assignment(assignment, self._milliseconds())
            target = self._target(assignment)
            denied = frozenset(self.denied)
            facts = layers.Facts(
                self._box.device_id,
                self._box.hardware_model,
                version,
                security_floor,
                self._capacity_bytes(),
                denied,
                self._box.provides,
                self._passes(denied),
            )
            layers.check_release(assignment, target, facts)
            layers.check_wave(assignment, self._wave(assignment), facts, self._milliseconds())
        except (layers.RefusedError, layers.NotYetError) as error:
            if error.certain_from_ms and self.doubts(error.certain_from_ms):
                return AuthorityUnknown(*attempt)
            if isinstance(error, layers.NotYetError):
                return self._unknown(attempt, error)
            return self._refused(attempt, error.reason, str(error))
        self._unknown_since.clear()
        return Authorised(*attempt)

    def _refused(self, attempt: tuple[str, int], reason: Reason, detail: str) -> AuthorityRefused:
        self._unknown_since.clear()
        return AuthorityRefused(*attempt, reason, detail[: messages.DETAIL_CHARS_MAX])

    def _unknown(self, attempt: tuple[str, int], unknown: layers.NotYetError) -> Event:
        if not self.is_listening:
            self._unknown_since.clear()
            return AuthorityUnknown(*attempt)
        now_ms = self._steady_ms()
        if attempt not in self._unknown_since:
            self._unknown_since = {attempt: now_ms}
        if now_ms - self._unknown_since[attempt] > UNKNOWN_LIMIT_MS:
            return self._refused(attempt, unknown.reason, str(unknown))
        return AuthorityUnknown(*attempt)

    def _trust(self, get: Callable[[str, int], bytes | None]) -> None:
        fresh = self._client(get, self.now())
        try:
            self._verify(fresh)
        except FreezeError:
            if fresh.is_rotated():
                # By the word of keys that were stolen all that is signed now would have ended.
                self.floor.forget()
                self.time.forget()
            elif self.time.is_proven:
                raise
            # It says who may tell the time; it is good for nothing else until that is told.
            fresh = self._client(get, _utc(self.time.least_ms()))
            self._verify(fresh)
        self._take_roles(layers.roles_of(fresh.targets))
        self._trusted = fresh
        if messages.DIRECTOR_ROLE in self._roles:
            self.witness.follow(self._roles[messages.DIRECTOR_ROLE])
        if self._deny is None:
            for data in self._denied_store.read("list"):
                with suppress(WireError):  # torn, or its signer's key was rotated away
                    if self._take_deny(data):
                        self._denied_store.mend("list", data)

    def _take_roles(self, found: dict[str, envelope.RoleKeys]) -> None:
        """Go by the keys in *found*: what another director has denied counts no more."""
        before, after = (one.get(messages.DIRECTOR_ROLE) for one in (self._roles, found))
        if before is not None and (after is None or before.keys.keys() != after.keys.keys()):
            self._deny = None
        self._roles = found

    def _client(self, get: Callable[[str, int], bytes | None], now: datetime) -> TrustedClient:
        return TrustedClient(self._store, get, now, BOX)

    def _verify(self, fresh: TrustedClient) -> None:
        fresh.refresh()
        fresh.role(self._box.hardware_model)

    def _stored(self, name: str, copy: int) -> bytes | None:
        copies = list(self._store.read(name.removesuffix(".json")))
        return copies[copy] if copy < len(copies) else None

    def _target(self, assignment: Assignment) -> Target:
        model, _ = layers.parse_path(assignment.target_path)
        if model != self._box.hardware_model:
            raise layers.RefusedError(
                Reason.WRONG_HARDWARE,
                f"The target is for {model}; this box is a {self._box.hardware_model}.",
            )
        if self._trusted is None:
            raise layers.NotYetError(Reason.UNTRUSTED, "No trust metadata has come yet.")
        layers.check_fresh(self._trusted, self._box.hardware_model, self.now())
        try:
            return self._trusted.find(assignment.target_path)
        except (TargetNotFoundError, MissingMetadataError) as error:
            raise layers.NotYetError(Reason.UNTRUSTED, str(error)) from error
        except TrustError as error:
            raise layers.RefusedError(Reason.UNTRUSTED, f"{error.attack}: {error}") from error

    def _passes(self, denied: frozenset[str]) -> tuple[str, ...]:
        if self._trusted is None:
            return ()
        return layers.passes_of(self._trusted.role(self._box.hardware_model), denied)

    def _wave(self, assignment: Assignment) -> Wave:
        refusal = "No open wave names this assignment."
        for text in self._waves:
            try:
                role = self._role(messages.WAVE_ROLE)
                wave = messages.open_message(Wave, text.encode(), role)
            except WireError as error:
                refusal = f"A wave is not to be believed: {error}"
                continue
            if wave.wave_id == assignment.wave_id:
                return wave
        raise layers.NotYetError(Reason.NOT_COVERED, refusal)

    def _take_deny(self, data: bytes) -> bool:
        deny = messages.open_message(Deny, data, self._role(messages.DIRECTOR_ROLE))
        if deny.hardware_model != self._box.hardware_model:
            raise BadSignatureError(f"A deny list for {deny.hardware_model} came here.")
        if self._deny is not None and deny.deny_version <= self._deny.deny_version:
            return False
        self._deny = deny
        self._raise_floor(deny.header.at_ms)
        return True

    def _check_number(self, message: Assign | Lease | Cmd) -> None:
        """Refuse a number that no server comes to: a thief could use them all up for ever.

        Servers count from 1, or from the milliseconds since 1970 after a restore. The end
        of root bounds them, so that the next root makes room above all that a thief took.
        """
        number = 0 if isinstance(message, Lease) else _number_of(message)
        assert self._trusted is not None, "a signature was checked"  # noqa: S101
        expires_ms = int(self._trusted.root.document.expires.timestamp() * 1000)
        if number > expires_ms + AHEAD_MAX_MS:
            raise MalformedMessageError(f"{number} is no number that a server comes to.")

    def _role(self, name: str) -> envelope.RoleKeys:
        if name not in self._roles:
            raise BadSignatureError(f"No trusted metadata says who '{name}' is.")
        return self._roles[name]

    def _raise_floor(self, signed_ms: int) -> None:
        """Believe a signed time, but no later one than the metadata itself is good for.

        The part that people sign counts too: whoever has the server's keys signs timestamps
        for a hundred years.
        """
        assert self._trusted is not None, "a signature was checked"  # noqa: S101
        documents = layers.documents(self._trusted, self._box.hardware_model).values()
        expires = min(document.expires for document in documents)
        with suppress(StorageError):  # a full disk silences no box; the floor holds in memory
            self.floor.raise_to(min(signed_ms, int(expires.timestamp() * 1000)))

    def _milliseconds(self) -> int:
        return self.time.now_ms()


def _number_of(message: Assign | Cmd) -> int:
    return message.assignment_seq if isinstance(message, Assign) else message.cmd_seq


def _utc(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms / 1000, UTC)
