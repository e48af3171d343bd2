"""The server by the wire alone: it counts, acknowledges, grants leases and assigns.

What it knows outlives every power cut of the box, so it is a plain value that can be
copied. It writes down a lie when what a box says is not so.
"""

import copy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from oleada_agent.config import Config
from oleada_agent.enrol import EnrolmentError
from oleada_agent.outbox import SHAPES, Kept
from oleada_agent.ports import Disk
from oleada_wire import messages, topics
from oleada_wire.ids import BootId
from oleada_wire.messages import (
    Ack,
    Assign,
    Assignment,
    AuditHead,
    Cmd,
    Cohort,
    Deny,
    Header,
    Hello,
    Lease,
    LeaseRequest,
    Log,
    Message,
    Meta,
    Report,
    Result,
    Wave,
    Waves,
)
from oleada_wire.topics import Down, Model, Up
from oleada_wire.words import Phase, Reason

from oleada_lab.real.repository import MODEL, NOON
from oleada_lab.sweep.kit import (
    DEVICE,
    FIRST,
    START_MS,
    TOKEN,
    Kit,
    Release,
)

HOUR_MS: Final = 3_600_000
ASSIGNMENT: Final = "AS-204{}"
COMMAND: Final = "C-{}"
WAVE: Final = 30
"""And the number of the release."""
ENTRIES: Final = 10
"""Of the audit trail, before the first release and with each."""
SEQ: Final = 100
"""More assignments than one release sees."""
YEAR: Final = timedelta(days=365)
MINUTE: Final = timedelta(minutes=1)
SHORT: Final = timedelta(minutes=70)
"""Of a certificate that is due, at five sixths of it at the latest, when a story begins."""
AGAIN: Final = (Reason.POWER_CUT_IN_TRIAL, Reason.DOWNLOAD, Reason.STORAGE)
"""Ends that say nothing against the image: the server assigns it again."""
ATTEMPTS_MAX: Final = 3
HEARD: Final[dict[Up, type[Hello | Kept]]] = {**SHAPES, Up.HELLO: Hello}
OTHER_DIGEST: Final = "0" * 64
LOST_KEY: Final = "a renewal lost the key with which it had asked"

Mail = tuple[str, bytes]
"""Topic and payload of a message to the box."""


class Truth(NamedTuple):
    """What runs on the box, whatever it says.

    Attributes:
        proven: Boot control on the disk calls the slot successful.
    """

    slot: str
    version: str
    proven: bool


class Told(NamedTuple):
    """One report that was counted."""

    phase: Phase
    reason: Reason | None
    version: str
    slot: str


@dataclass(slots=True)
class Desk:
    """What the server knows of one box.

    Attributes:
        release: Is published and assigned; None without one.
        is_denied: The deny list names the release.
        is_covered: The wave covers the box.
        keys: The box's public keys, of which each vouched for the next; the first one is
            that which the claim token was used with.
        short_lived: So many certificates, from the first on, end within the story.
        reports: Each (attempt, step) once.
        results: Ids of the answers to the command.
        attempt: Of the assignment, from 1; raised when it is assigned again.
        logs: Lines that the box has sent.
        lies: A sentence for each thing a box said that was not so.
    """

    kit: Kit
    release: Release | None = None
    is_denied: bool = False
    is_covered: bool = True
    keys: tuple[bytes, ...] = ()
    short_lived: int = 0
    reports: dict[tuple[int, int], Told] = field(default_factory=dict)
    results: set[str] = field(default_factory=set)
    attempt: int = 1
    logs: tuple[str, ...] = ()
    lies: tuple[str, ...] = ()
    _seq: int = 0

    def fork(self) -> "Desk":
        """Return a desk that knows the same and goes its own way."""
        found = copy.copy(self)
        found.reports, found.results = self.reports.copy(), self.results.copy()
        return found

    def facts(self) -> tuple[Any, ...]:
        """Return what decides about the future, for comparing."""
        return (
            self.release,
            len(self.keys),
            tuple(sorted(self.reports.items())),
            len(self.results),
            self.attempt,
            self.lies,
        )

    def verdicts(self, attempt: int) -> list[Told]:
        """Return the reports that ended *attempt*."""
        return [
            t for (a, _), t in sorted(self.reports.items()) if a == attempt and t.phase.is_final
        ]

    # -- enrolment ---------------------------------------------------------------------

    def enrol(self, disk: Disk, config: Config, body: dict[str, str]) -> dict[str, Any]:
        """Answer a request for an identity; the token is good for the key that used it first.

        Raises:
            EnrolmentError: the token was used with another key.
        """
        del disk
        key = key_of(x509.load_pem_x509_csr(body["csr_pem"].encode()))
        if body["token"] != TOKEN or (self.keys and self.keys[0] != key):
            raise EnrolmentError("The claim token was used by another key.")
        self.keys = self.keys or (key,)
        return {
            "device_id": DEVICE,
            "hardware_model": config.hardware_model,
            "zone": "Europe/Prague",
            "certificate_pem": self._certificate(body["csr_pem"]).decode(),
            "ca_pem": "the authority of the service",
            "broker": {"host": "broker.example", "port": 8883},
            "artifacts_url": "https://door.example/artifacts",
            "root_json": self.kit.root,
        }

    def renew(self, csr_pem: str, shown: bytes) -> bytes:
        """Return the next certificate, PEM, for the request of a box that has *shown* its key."""
        key = key_of(x509.load_pem_x509_csr(csr_pem.encode()))
        if shown not in self.keys:
            self._lie("a renewal was asked for with a key that nobody knows")
        if key not in self.keys:
            if shown != self.keys[-1]:
                self._lie(LOST_KEY)
            self.keys = (*self.keys, key)
        elif key == shown:
            self._lie("a renewal asked for the key in use")
        return self._certificate(csr_pem)

    def _certificate(self, csr_pem: str) -> bytes:
        """Return the certificate of a key that is known, the same for each time of asking."""
        request = x509.load_pem_x509_csr(csr_pem.encode())
        number = self.keys.index(key_of(request))
        is_short = number < self.short_lived
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVICE)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(request.public_key())
            .serial_number(1 + number)
            .not_valid_before(NOON)
            .not_valid_after(NOON + (SHORT + number * MINUTE if is_short else YEAR))
        )
        return builder.sign(self.kit.authority, None).public_bytes(Encoding.PEM)

    # -- what the box hears ------------------------------------------------------------

    def retained(self) -> list[Mail]:
        """Return what the broker keeps for this box and its model, as it hears it first."""
        release = self.release
        if release is None:
            return [self._metadata(self.kit.first)]
        found = [self._metadata(self.kit.second if release is FIRST else self.kit.third)]
        digest = self.kit.images[release.new.version].sha256
        denied = digest if self.is_denied else OTHER_DIGEST
        deny = Deny(self._header(), MODEL, release.number, (denied,))
        found.append(self._to_model(Model.DENY, messages.seal(deny, [self.kit.director])))
        found.append(self._to_model(Model.WAVE, self._waves(release)))
        expires_ms = START_MS + 1_000 * HOUR_MS
        number = release.number
        ping = Cmd(self._header(), DEVICE, COMMAND.format(number), number, "ping", expires_ms)
        found.append(self._to_box(Down.CMD, ping))
        found.append(self._to_box(Down.ASSIGN, self._assign(release)))
        return found

    def offer(self, release: Release) -> None:
        """Publish and assign *release*; what became of the one before is known and over."""
        self.release = release
        self.reports, self.results, self.attempt = {}, set(), 1

    def _metadata(self, files: dict[str, str]) -> Mail:
        entries = ENTRIES * (1 + (self.release.number if self.release is not None else 0))
        head = AuditHead(self._header(), entries, OTHER_DIGEST, OTHER_DIGEST, 0, START_MS)
        sealed = messages.seal(head, [self.kit.director]).decode()
        return self._to_model(Model.META, messages.encode(Meta(self._header(), files, sealed)))

    def hear(self, kind: Up, data: bytes, truth: Truth) -> list[Mail]:
        """Take one message of the box and return the answers."""
        if kind is Up.LEASE:
            return [self._grant(messages.decode(LeaseRequest, data))]
        message = messages.decode(HEARD[kind], data)
        answers: list[Mail] = []
        match message:
            case Hello():
                self._check("hello", message.running_slot, message.version, truth)
            case Report():
                answers = self._count(message, truth)
            case Result():
                self.results.add(message.header.id)
            case Log():
                self.logs = (*self.logs, *message.lines)
            case _:  # telemetry is acknowledged, and decides nothing
                pass
        return [self._ack(message.header.id), *answers]

    def _count(self, report: Report, truth: Truth) -> list[Mail]:
        told = Told(report.phase, report.reason, report.version, report.running_slot)
        name = (report.attempt, report.step)
        known = self.reports.get(name)
        if known is not None:
            if known != told:
                self._lie(f"report {name} said {known.phase}, and then {told.phase}")
            return []
        if told.phase.is_final:
            self._check(f"verdict {told.phase}", told.slot, told.version, truth)
        release = self.release
        if release is None or report.assignment_id != ASSIGNMENT.format(release.number):
            self._lie(f"report {name} is about {report.assignment_id}")
            return []
        self._check_success(told, release, truth)
        self.reports[name] = told
        if not told.phase.is_final:
            return []
        if len(self.verdicts(report.attempt)) > 1:
            self._lie(f"attempt {report.attempt} has a second verdict, {told.phase}")
        if told.reason in AGAIN and report.attempt == self.attempt < ATTEMPTS_MAX:
            self.attempt += 1
        return [self._to_box(Down.ASSIGN, self._assign(release))]

    def _check_success(self, told: Told, release: Release, truth: Truth) -> None:
        is_true = told.version == release.new.version and truth.proven
        if told.phase is Phase.UPDATED and not is_true:
            self._lie(f"updated was told of {told.version}, proven: {truth.proven}")

    def _check(self, what: str, slot: str, version: str, truth: Truth) -> None:
        if (slot, version) != (truth.slot, truth.version):
            self._lie(f"{what} says {slot} {version}; {truth.slot} {truth.version} runs")

    def _lie(self, sentence: str) -> None:
        self.lies = (*self.lies, sentence)

    # -- messages ----------------------------------------------------------------------

    def _assign(self, release: Release) -> Assign:
        """Return what the box should do: the assignment, or nothing once it has its verdict."""
        image, number = self.kit.images[release.new.version], release.number
        is_over = bool(self.verdicts(self.attempt))
        assignment = Assignment(
            ASSIGNMENT.format(number), self.attempt, "R-107", WAVE + number, release.target_path,
            image.sha256, len(image.data), release.new.version, release.new.security_version,
            START_MS, START_MS + 100 * HOUR_MS,
        )  # fmt: skip
        seq = SEQ * number + 2 * self.attempt - (not is_over)
        head = self._header(later_ms=2 * HOUR_MS)  # no other word raises the time floor so far
        return Assign(head, DEVICE, seq, None if is_over else assignment)

    def _waves(self, release: Release) -> bytes:
        image = self.kit.images[release.new.version]
        wave = Wave(
            self._header(), WAVE + release.number, "R-107", MODEL, release.target_path,
            image.sha256, len(image.data), release.new.security_version, self._cohort(),
            START_MS - HOUR_MS, START_MS + 100 * HOUR_MS,
        )  # fmt: skip
        sealed = messages.seal(wave, list(self.kit.approvers)).decode()
        return messages.encode(Waves(self._header(), (sealed,)))

    def _cohort(self) -> Cohort:
        return Cohort(salt="s", share_parts=10_000 if self.is_covered else 0)

    def _grant(self, asked: LeaseRequest) -> Mail:
        lease = Lease(
            self._header(), DEVICE, asked.assignment_id, asked.attempt, asked.phase,
            granted=True, expires_ms=START_MS + 50 * HOUR_MS, request_id=asked.header.id,
        )  # fmt: skip
        return self._to_box(Down.LEASE, lease)

    def _ack(self, message_id: str) -> Mail:
        ack = Ack(self._header(), (message_id,))
        return topics.down(DEVICE, Down.ACK), messages.encode(ack)

    def _to_box(self, kind: Down, message: Message) -> Mail:
        return topics.down(DEVICE, kind), messages.seal(message, [self.kit.director])

    def _to_model(self, kind: Model, payload: bytes) -> Mail:
        return topics.model(MODEL, kind), payload

    def _header(self, later_ms: int = 0) -> Header:
        self._seq += 1
        return Header(f"{self._seq:032x}", START_MS + later_ms, BootId(1, "0badc0de"), self._seq)


def key_of(holder: x509.CertificateSigningRequest | x509.Certificate) -> bytes:
    """Return by what the key of *holder* is known."""
    public: Any = holder.public_key()
    return bytes(public.public_numbers().y.to_bytes(32, "big"))
