"""One case of the fuzz of trust, from a seed and a number; and many of them, counted.

Every fourth case damages metadata and shows it to both readers: the box may be stricter,
each such refusal is a named class; it never accepts what python-tuf refuses. The others
damage what the broker carries (envelopes of each signed kind, alone and of a batch, and
plain messages): a box believes exactly what was signed, or refuses with an error of the
wire. There is no delta yet, so none is damaged.

python-tuf is asked about all that the box accepts, and about a third of what it refuses:
that only counts where the box is stricter.
"""

import json
import resource
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any, Final

from oleada_wire import bulk, messages
from oleada_wire.envelope import RoleKeys
from oleada_wire.errors import WireError
from oleada_wire.ids import BootId
from oleada_wire.messages import (
    Assign,
    Assignment,
    AuditHead,
    Cmd,
    Cohort,
    Deny,
    Header,
    Lease,
    Meta,
    Wave,
    Waves,
)
from oleada_wire.words import LeasePhase
from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical

from oleada_lab.fuzz import damage, places, readers
from oleada_lab.fuzz.readers import ACCEPTS
from oleada_lab.real.repository import MODEL, NOON, Repository

PATH: Final = f"{MODEL}/5.8.2.img"
ROLES: Final = ("root", "timestamp", "snapshot", "targets", MODEL)
REPOSITORIES: Final = 4
NOON_MS: Final = int(NOON.timestamp() * 1000)
FAILURES_KEPT: Final = 20


@dataclass
class Tally:
    """What many cases came to.

    Attributes:
        same: Cases of metadata in which both readers said the same.
        stricter: By class of our refusal: what python-tuf accepts.
        refused_alone: By class of our refusal: metadata that python-tuf was not asked about.
        refused: By class of our refusal: messages and envelopes.
        unchanged: Messages in which the damage met nothing that is signed, and no word changed.
        failures: Crashes, and what was trusted and must not be; must stay empty.
    """

    metadata: int = 0
    messages: int = 0
    same: Counter[str] = field(default_factory=Counter)
    stricter: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    refused_alone: Counter[str] = field(default_factory=Counter)
    reference_crashes: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    failures: list[str] = field(default_factory=list)
    grown_kib: int = 0
    cpu_s: float = 0.0

    def add(self, other: "Tally") -> None:
        """Count *other* in."""
        self.metadata += other.metadata
        self.messages += other.messages
        self.unchanged += other.unchanged
        self.cpu_s += other.cpu_s
        self.grown_kib = max(self.grown_kib, other.grown_kib)
        self.failures += other.failures
        for name in (
            "same",
            "stricter",
            "refused",
            "damages",
            "refused_alone",
            "reference_crashes",
        ):
            getattr(self, name).update(getattr(other, name))

    def to_json(self) -> dict[str, Any]:
        """Return what is printed."""
        return {
            "metadata": self.metadata,
            "messages": self.messages,
            "both_say": dict(self.same.most_common()),
            "stricter": dict(self.stricter.most_common()),
            "refused_and_not_compared": dict(self.refused_alone.most_common()),
            "messages_refused": dict(self.refused.most_common()),
            "messages_unchanged": self.unchanged,
            "damages": dict(self.damages.most_common()),
            "reference_crashes": dict(self.reference_crashes.most_common()),
            "memory_grown_kib": self.grown_kib,
            "cpu_s": round(self.cpu_s, 1),
            "failures": self.failures[:FAILURES_KEPT],
            "failed": len(self.failures),
        }


def play(seed: int, numbers: Iterable[int]) -> Tally:
    """Return what the cases *numbers* of *seed* come to; the same for the same arguments."""
    tally = Tally()
    begun_s, before_kib = time.process_time(), 0
    for count, number in enumerate(numbers):
        case(seed, number, tally)
        if count == 200:  # caches are warm: from here on nothing may grow
            before_kib = _peak_kib()
    tally.grown_kib = _peak_kib() - before_kib if before_kib else 0
    tally.cpu_s = time.process_time() - begun_s
    return tally


def case(seed: int, number: int, tally: Tally) -> None:
    """Play one case into *tally*."""
    dice = Random(f"{seed}:{number}")
    try:
        if number % 4:
            _message(dice, tally)
        else:
            _metadata(dice, tally)
    except Exception as error:  # whatever it is: it is what is looked for
        tally.failures.append(f"seed {seed}, case {number}: {type(error).__name__}: {error}"[:400])


def _metadata(dice: Random, tally: Tally) -> None:
    repository, first = _repository(dice.randrange(REPOSITORIES))
    tally.metadata += 1
    role = dice.choice(ROLES)
    name = repository.name_of(role)
    files = dict(repository.files)
    is_signed_again = dice.random() < 0.6
    kind, files[name] = _damaged_role(repository, role, dice, again=is_signed_again)
    tally.damages[kind] += 1
    if dice.random() < 0.05:
        files.pop(dice.choice(sorted(files)))

    box, target = readers.ours(first, files, PATH)
    if box != ACCEPTS and dice.random() < 0.67:
        tally.refused_alone[box] += 1
        return
    reference, _ = readers.theirs(first, files, PATH)

    if reference.startswith("crash"):
        tally.reference_crashes[reference] += 1
    if box == ACCEPTS and reference != ACCEPTS:
        raise AssertionError(f"{role}: accepted, but python-tuf says {reference}")
    if box == ACCEPTS and not is_signed_again and target != _honest(repository, first):
        raise AssertionError(f"{role}: another target without another signature")
    if (box == ACCEPTS) == (reference == ACCEPTS):
        tally.same["yes" if box == ACCEPTS else "no"] += 1
    else:
        tally.stricter[box] += 1


def _damaged_role(
    repository: Repository, role: str, dice: Random, *, again: bool
) -> tuple[str, bytes]:
    """Return the kind of damage and the file of *role* with it.

    Signed *again*, it is as a thief of the role's keys would hand it out.
    """
    data = repository.files[repository.name_of(role)]
    if not again and dice.random() < 0.4:
        return damage.in_bytes(data, dice)
    document = json.loads(data)
    kind = damage.in_meaning(document, dice)
    if again and isinstance(document.get("signed"), dict):
        _sign_again(repository, role, document)
    return kind, damage.spelt(document)


def _sign_again(repository: Repository, role: str, document: Any) -> None:
    try:
        data = str(encode_canonical(document["signed"])).encode()
    except (FormatError, ValueError, TypeError, RecursionError):
        return  # what has no canonical spelling can not be signed
    document["signatures"] = [
        {"keyid": signer.public_key.keyid, "sig": signer.sign(data).signature}
        for signer in repository.signers[role]
    ]


@cache
def _repository(number: int) -> tuple[Repository, bytes]:
    repository = Repository(consistent=bool(number % 2))
    for _ in range(number // 2):
        repository.publish("root")
    return repository, repository.files["1.root.json"]


def _honest(repository: Repository, first: bytes) -> bytes | None:
    return readers.ours(first, repository.files, PATH)[1]


@dataclass(frozen=True)
class _Said:
    """A message as a broker carries it, and the message that it is.

    Attributes:
        places: Of others in this batch and in another one; empty for what was signed alone.
    """

    shape: type
    data: bytes
    value: Any
    places: tuple[str, ...] = ()


@cache
def _said() -> tuple[tuple[_Said, ...], RoleKeys]:
    """Return one message of each kind that comes down, and who signs the sealed ones."""
    repository, _ = _repository(0)
    signers = [repository.director, *repository.approvers]
    role = RoleKeys({one.keyid: one.key.public_key() for one in signers}, len(signers))
    header = Header("0" * 32, NOON_MS, BootId(1, "0badcafe"), 7)
    box, digest = "VX417Q3K0928", "ab" * 32
    assignment = Assignment(
        "AS-1", 1, "R-1", 1, PATH, digest, 1000, "5.8.2", 3, NOON_MS, NOON_MS + 1000
    )
    wave = Wave(
        header, 1, "R-1", MODEL, PATH, digest, 1000, 3, Cohort("salt", 500), NOON_MS, NOON_MS + 1000
    )
    sealed: list[messages.Message] = [
        Assign(header, box, 7, assignment),
        Lease(header, box, "AS-1", 1, LeasePhase.START, True, NOON_MS),
        Cmd(header, box, "C-1", 1, "ping", NOON_MS),
        Deny(header, MODEL, 3, (digest,)),
        wave,
        AuditHead(header, 100, digest, digest, 0, NOON_MS),
    ]
    head = messages.seal(sealed[-1], list[Any](signers)).decode()
    plain: list[messages.Message] = [
        Meta(header, repository.plain_files(), head),
        Waves(header, (messages.seal(wave, list[Any](signers)).decode(),)),
    ]
    found = [_Said(type(one), messages.seal(one, list[Any](signers)), one) for one in sealed]
    found += _batched(Assign(header, box, 7, assignment), signers)
    found += [_Said(type(one), messages.encode(one), one) for one in plain]
    return tuple(found), role


def _batched(message: Assign, signers: list[Any]) -> list[_Said]:
    """Return messages of whole and broken batches: the first, one within and the last."""
    count = 2 * bulk.BATCH_MESSAGES - 3  # the second tree has branches of different lengths
    every = [replace(message, assignment_seq=number) for number in range(1, count + 1)]
    sealed = list(bulk.seal_many(every, signers))
    at = [json.loads(data)["signatures"][0]["batch"] for data in sealed]
    return [
        _Said(Assign, sealed[n], every[n], tuple(one for one in at if one != at[n]))
        for n in (0, 5, count - 1)
    ]


def _damaged(said: _Said, dice: Random) -> tuple[str, bytes]:
    """Return the kind of damage and the message with it."""
    is_batched = bool(said.places)
    if is_batched and dice.random() < 0.4:
        document = json.loads(said.data)
        kind = places.in_place(document, dice, said.places)
    elif dice.random() < 0.5:
        return damage.in_bytes(said.data, dice)
    else:
        document = json.loads(said.data)
        kind = damage.in_meaning(document, dice)
    # Another spelling would be refused for that alone, and nothing within be looked at.
    return kind, damage.spelt(document, tightly=is_batched)


def _message(dice: Random, tally: Tally) -> None:
    all_said, role = _said()
    said = dice.choice(all_said)
    tally.messages += 1
    kind, damaged = _damaged(said, dice)
    tally.damages[kind] += 1
    try:
        if said.shape in messages.SIGNED:
            value: Any = messages.open_message(said.shape, damaged, role)
        else:
            value = messages.decode(said.shape, damaged, messages.DOWN_BYTES_MAX)
    except WireError as error:
        tally.refused[type(error).__name__] += 1
        return
    if value == said.value:
        tally.unchanged += 1
    elif said.shape in messages.SIGNED:
        raise AssertionError(f"{said.shape.__name__}: believed, and never signed")
    else:
        tally.refused["read, and verified inside"] += 1


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
