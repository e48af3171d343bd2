"""What comes after the first ceremony: other keys, as the next version of what names them.

A `Change` is the next version of one document, with the signatures that are at hand;
people elsewhere add theirs until there are enough. A root needs them of its predecessor
*and* of itself, which is why a lost key can be replaced by the others, and a single thief
is nobody. Targets are judged by the root that comes with them, and a model's role by those
targets: a key that is gone says nothing any more, and what it had signed is signed again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from oleada_wire.envelope import keyid_of
from oleada_wire.messages import DIRECTOR_ROLE, WAVE_ROLE
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization.json import JSONSerializer

from oleada_store import keys, repository, roles
from oleada_store.errors import BadMetadataError, SignatureRefusedError
from oleada_store.text import printable
from oleada_store.trust_files import TrustFiles

Offline = Metadata[Root] | Metadata[Targets]
ONLINE_IN_ROOT = ("snapshot", "timestamp")
OFFLINE_IN_ROOT = ("root", "targets")
TARGETS_KEYS = 3
"""As a ceremony makes them: two sign, and the third may be lost."""


@dataclass(frozen=True, slots=True)
class Change:
    """The next version of one document, and whose signatures it needs.

    Attributes:
        role: ``root``, ``targets`` or a hardware model.
        after: Is signed in place.
        before: What it follows; nothing where that is not at hand.
        judges: Boxes follow if each of these finds enough of its keys for *role*.
    """

    role: str
    after: Offline
    before: Offline | None
    judges: tuple[Root | Targets, ...]

    @property
    def file_name(self) -> str:
        """How the file is called in the ceremony's ``tuf``."""
        number = f"{self.after.signed.version}." if self.role == "root" else ""
        return f"{number}{self.role}.json"

    def counts(self, key: Ed25519PublicKey) -> bool:
        """Return whether a signature by *key* says anything here."""
        return keyid_of(key) in self._named()

    def sign(self, key: keys.SigningKey) -> int:
        """Add a signature; return how many that say something there are now.

        Raises:
            SignatureRefusedError: the key says nothing for this role.
        """
        if not self.counts(key.public_key()):
            raise SignatureRefusedError(
                f"This key (id {keyid_of(key.public_key())[:16]}…) says nothing for {self.role!r}."
            )
        self.after.sign(keys.tuf_signer(key), append=True)
        return len(set(self.after.signatures) & self._named())

    def is_complete(self) -> bool:
        """Return whether boxes that follow what was before would take it, but for its dates."""
        signed, signatures = self.after.signed_bytes, self.after.signatures
        return all(
            bool(judge.get_verification_result(self.role, signed, signatures))
            for judge in self.judges
        )

    def written(self) -> bytes:
        """Return the bytes that are kept of it."""
        return self.after.to_bytes(JSONSerializer(compact=True))

    def lines(self, names: Mapping[str, str]) -> Iterator[str]:
        """Yield, in words, what whoever signs it says yes to, and what changes."""
        return lines(self.after, self.before, names, self.role)

    def _named(self) -> set[str]:
        return {keyid for judge in self.judges for keyid in _keyids(judge, self.role)}


def read_offline(data: bytes) -> Offline:
    """Return the root or targets metadata in *data*; nothing is verified.

    Raises:
        BadMetadataError: it is neither.
    """
    try:
        return repository.read(Root, data, "the file")
    except BadMetadataError:
        return repository.read(Targets, data, "the file")


def root_change(data: bytes, before: Metadata[Root]) -> Change:
    """Return root *data*, whatever it carries of signatures, as it follows *before*.

    Raises:
        BadMetadataError: *data* is not a root.
    """
    after = repository.read(Root, data, "root")
    return Change("root", after, before, (before.signed, after.signed))


def replaced_key(
    files: TrustFiles, lost: Ed25519PublicKey, fresh: Ed25519PublicKey, now: datetime
) -> list[Change]:
    """Return what changes when *fresh* stands wherever *lost* stood; nothing is signed yet.

    What *lost* may have signed, targets or models' roles, gets a next version, for those
    who are left and *fresh* to sign.

    Raises:
        BadMetadataError: a file is damaged or missing, or *lost* signs nothing.
    """
    gone = keyid_of(lost)
    root = repository.read(Root, files.roots[-1], "root")
    targets = repository.read(Targets, files.targets, "targets")
    in_root = [role for role in OFFLINE_IN_ROOT if gone in _keyids(root.signed, role)]
    in_targets = [
        name for name in _delegated(targets.signed) if gone in _keyids(targets.signed, name)
    ]
    if not in_root and not in_targets:
        raise BadMetadataError("The lost key signs nothing any more; there is nothing to replace.")
    for role in in_root:
        _exchange(root.signed, role, [gone], fresh)
    for role in in_targets:
        _exchange(targets.signed, role, [gone], fresh)
    resigned = "targets" in in_root or bool(in_targets)
    models = [name for name in in_targets if name not in roles.ENVELOPE_ROLES]
    return _next(files, root if in_root else None, targets if resigned else None, models, now)


def two_sign_targets(
    files: TrustFiles, fresh: Sequence[Ed25519PublicKey], now: datetime
) -> list[Change]:
    """Return what changes when *fresh* sign targets too, and two must; nothing is signed yet.

    Raises:
        BadMetadataError: a file is damaged, two must sign already, or *fresh* are too few.
    """
    root = repository.read(Root, files.roots[-1], "root")
    targets = repository.read(Targets, files.targets, "targets")
    role = root.signed.roles["targets"]
    if role.threshold >= roles.TARGETS_THRESHOLD:
        raise BadMetadataError(
            f"Targets need {role.threshold} of {len(role.keyids)} signatures already; there is "
            "nothing to change."
        )
    for key in fresh:
        root.signed.add_key(roles.tuf_key(key), "targets")
    role.threshold = roles.TARGETS_THRESHOLD
    if len(role.keyids) <= role.threshold:
        raise BadMetadataError(
            f"{len(role.keyids)} keys of targets are too few: one of them could not be lost."
        )
    return _next(files, root, targets, [], now)


def people_sign_waves(
    files: TrustFiles, people: Sequence[Ed25519PublicKey], threshold: int, now: datetime
) -> list[Change]:
    """Return what changes when *people* sign waves where the server did; nothing is signed yet.

    Raises:
        BadMetadataError: a file is damaged, or people sign waves already.
    """
    targets = repository.read(Targets, files.targets, "targets")
    old = _keyids(targets.signed, WAVE_ROLE)
    if set(old).isdisjoint(_keyids(targets.signed, DIRECTOR_ROLE)):
        raise BadMetadataError(
            "The server's key signs no waves; people do already. One of them is replaced by "
            "--lost NAME."
        )
    for keyid in old:
        targets.signed.revoke_key(keyid, WAVE_ROLE)
    for key in people:
        targets.signed.add_key(roles.tuf_key(key), WAVE_ROLE)
    targets.signed.get_delegated_role(WAVE_ROLE).threshold = threshold
    return _next(files, None, targets, [], now)


def replaced_online_keys(
    files: TrustFiles, online: Mapping[str, Ed25519PublicKey], now: datetime
) -> list[Change]:
    """Return what changes when the *online* keys stand where older ones stood; nothing is signed.

    After a theft: what the old keys signed, newer versions and waves too, is nothing to
    boxes then.

    Raises:
        BadMetadataError: a file is damaged.
    """
    root = repository.read(Root, files.roots[-1], "root")
    for name in ONLINE_IN_ROOT:
        _exchange(root.signed, name, _keyids(root.signed, name), online[name])
    targets = repository.read(Targets, files.targets, "targets")
    old = set(_keyids(targets.signed, DIRECTOR_ROLE))
    for name in _delegated(targets.signed):
        if gone := [one for one in _keyids(targets.signed, name) if one in old]:
            _exchange(targets.signed, name, gone, online[DIRECTOR_ROLE])
    return _next(files, root, targets, [], now)


def missing_targets_keys(files: TrustFiles) -> int:
    """Return how many keys of targets there are fewer than a ceremony makes, which is three.

    Raises:
        BadMetadataError: the root is damaged.
    """
    root = repository.read(Root, files.roots[-1], "root")
    return max(0, TARGETS_KEYS - len(_keyids(root.signed, "targets")))


def require_settled(files: TrustFiles) -> None:
    """Check that the newest root is one that boxes follow: nothing is built on half of one.

    Raises:
        BadMetadataError: it still needs signatures, or is damaged.
    """
    chain = [repository.read(Root, body, "root") for body in files.roots[-2:]]
    if len(chain) == 2 and not root_change(files.roots[-1], chain[0]).is_complete():
        name = f"{chain[1].signed.version}.root.json"
        raise BadMetadataError(
            f"{name} still needs signatures (oleada keys sign); change nothing more before it has "
            "them. If it is not meant to be any more, remove it."
        )


def require_chain(roots: Sequence[Metadata[Root]]) -> None:
    """Check that each of *roots* is one that boxes follow from the one before it.

    What is new is told against the last of them: one that nobody has signed, put there by
    whoever wants a signature, would hide it.

    Raises:
        BadMetadataError: one does not follow.
    """
    for before, after in pairwise(roots):
        judges = (before.signed, after.signed)
        if not Change("root", after, before, judges).is_complete():
            raise BadMetadataError(
                f"{after.signed.version}.root.json is not signed as it must be to follow "
                f"{before.signed.version}.root.json. Do not sign what builds on it; get the roots "
                "from the server, or from somebody else."
            )


def in_force(
    held: Iterable[Metadata[Targets]], roots: Sequence[Metadata[Root]], version: int
) -> Metadata[Targets] | None:
    """Return the newest of *held* before *version* that a root which boxes follow lets in.

    None if there is none: anybody can lay one beside it that hides what is new.
    """
    follow = [roots[0]]
    for before, after in pairwise(roots):
        if not Change("root", after, before, (before.signed, after.signed)).is_complete():
            break
        follow.append(after)
    signed = [
        one
        for one in held
        if one.signed.version < version
        and any(Change("targets", one, None, (root.signed,)).is_complete() for root in follow)
    ]
    return max(signed, default=None, key=lambda one: one.signed.version)


def lines(
    found: Offline, before: Offline | None, names: Mapping[str, str], role: str = ""
) -> Iterator[str]:
    """Yield, in words, what whoever signs *found* says yes to, and what changes since *before*.

    *names* gives what people call a key, by its id; *role* is whose it is, if not its type.
    All of it may come from somebody who wants a signature, and is made fit to be shown.
    """
    yield from map(printable, _raw_lines(found, before, names, role))


def _raw_lines(
    found: Offline, before: Offline | None, names: Mapping[str, str], role: str
) -> Iterator[str]:
    signed = found.signed
    title = role.capitalize() if role in OFFLINE_IN_ROOT else role or signed.type.capitalize()
    yield f"{title}, version {signed.version}, until {signed.expires:%Y-%m-%d}"
    if isinstance(signed, Targets) and signed.targets:
        yield f"  releases         {', '.join(sorted(signed.targets))}"
    then = dict(_roles(before)) if before is not None else {}
    for name, (keyids, threshold) in _roles(found):
        called = ", ".join(sorted(names.get(one, f"{one[:12]}…") for one in keyids))
        yield f"  {name:<16} {threshold} of {len(keyids)}: {called}"
        old, old_threshold = then.get(name, (keyids, threshold))
        for one in sorted(set(old) - set(keyids)):
            yield f"    no longer      {names.get(one, one[:12] + '…')}"
        for one in sorted(set(keyids) - set(old)) if before is not None else ():
            yield f"    new            {names.get(one, one[:12] + '…')}"
        if old_threshold != threshold:
            yield f"    threshold      {old_threshold} before"
    for name in sorted(set(then) - {name for name, _ in _roles(found)}):
        yield f"  {name:<16} is taken away"


def _roles(found: Offline) -> list[tuple[str, tuple[Sequence[str], int]]]:
    signed: Any = found.signed
    delegations = getattr(signed, "delegations", None)
    held = signed.roles if isinstance(signed, Root) else delegations.roles if delegations else {}
    return [(name, (tuple(role.keyids), role.threshold)) for name, role in sorted(held.items())]


def _delegated(targets: Targets) -> list[str]:
    return [name for name, _ in _roles(Metadata(targets))]


def _keyids(judge: Root | Targets, role: str) -> list[str]:
    return list(judge.get_delegated_role(role).keyids)


def _exchange(
    judge: Root | Targets, role: str, gone: Sequence[str], fresh: Ed25519PublicKey
) -> None:
    for keyid in gone:
        judge.revoke_key(keyid, role)
    judge.add_key(roles.tuf_key(fresh), role)


def _next(
    files: TrustFiles,
    root: Metadata[Root] | None,
    targets: Metadata[Targets] | None,
    models: Sequence[str],
    now: datetime,
) -> list[Change]:
    """Return the documents of *files* that change, with the next numbers and no signatures.

    *root* and *targets* say already what is new; of *models* only who signs is new.
    """
    before = repository.read(Root, files.roots[-1], "root")
    in_force = root or before
    found: list[Change] = []
    if root is not None:
        # Never before the one that it follows: its end bounds what numbers a box believes.
        after = before.signed.expires + timedelta(days=1)
        _renumber(root, max(now + roles.ROOT_VALID, after))
        found.append(Change("root", root, before, (before.signed, root.signed)))
    if targets is not None:
        _renumber(targets, now + roles.TARGETS_VALID)
        old = repository.read(Targets, files.targets, "targets")
        found.append(Change("targets", targets, old, (in_force.signed,)))
        found += [_next_model(files, targets.signed, name, now) for name in models]
    return found


def _next_model(files: TrustFiles, targets: Targets, model: str, now: datetime) -> Change:
    if model not in files.models:
        raise BadMetadataError(
            f"{model}.json is missing beside targets.json, and has to be signed by other keys; "
            "take it from the server's tuf directory."
        )
    role = repository.read(Targets, files.models[model], model)
    _renumber(role, now + roles.MODEL_VALID)
    return Change(model, role, None, (targets,))


def _renumber(document: Offline, expires: datetime) -> None:
    document.signed.version += 1
    document.signed.expires = roles.whole_seconds(expires)
    document.signatures.clear()
