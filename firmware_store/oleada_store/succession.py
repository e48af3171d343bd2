"""What comes after the first ceremony: other keys in root and targets, and one signature more.

A next version is written with the signatures that are at hand; people elsewhere add theirs
(`add_signature`) until there are enough. A root needs them of its predecessor *and* of
itself, which is why a lost key can be replaced by the others, and a single thief is nobody.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from oleada_wire.envelope import keyid_of
from oleada_wire.messages import DIRECTOR_ROLE
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization.json import JSONSerializer

from oleada_store import keys, repository, roles
from oleada_store.errors import BadMetadataError, SignatureRefusedError

Offline = Metadata[Root] | Metadata[Targets]
ONLINE_IN_ROOT = ("snapshot", "timestamp")


def read_offline(data: bytes) -> Offline:
    """Return the root or targets metadata in *data*; nothing is verified.

    Raises:
        BadMetadataError: it is neither.
    """
    try:
        return repository.read(Root, data, "the file")
    except BadMetadataError:
        return repository.read(Targets, data, "the file")


def written(found: Offline) -> bytes:
    """Return the bytes that are kept of *found*."""
    return found.to_bytes(JSONSerializer(compact=True))


def replaced_root_key(
    data: bytes, lost: Ed25519PublicKey, fresh: Ed25519PublicKey, now: datetime
) -> Metadata[Root]:
    """Return the root after *data*, unsigned, in which *fresh* stands where *lost* stood.

    Raises:
        BadMetadataError: *data* is not a root, or *lost* does not sign it.
    """
    root = _next_root(data, now)
    if keyid_of(lost) not in root.signed.roles["root"].keyids:
        raise BadMetadataError("The lost key is not one of this root's; nothing to replace.")
    root.signed.revoke_key(keyid_of(lost), "root")
    root.signed.add_key(roles.tuf_key(fresh), "root")
    return root


def replaced_online_keys(
    root: bytes, targets: bytes, online: Mapping[str, Ed25519PublicKey], now: datetime
) -> tuple[Metadata[Root], Metadata[Targets]]:
    """Return the next root and targets, unsigned, that name the *online* keys and no older ones.

    After a theft: what the old keys signed, newer versions too, is nothing to boxes then.

    Raises:
        BadMetadataError: the files are not root and targets.
    """
    after = _next_root(root, now)
    for role in ONLINE_IN_ROOT:
        for keyid in list(after.signed.roles[role].keyids):
            after.signed.revoke_key(keyid, role)
        after.signed.add_key(roles.tuf_key(online[role]), role)
    delegating = repository.read(Targets, targets, "targets")
    delegating.signed.version += 1
    delegating.signed.expires = roles.whole_seconds(now + roles.TARGETS_VALID)
    delegating.signatures.clear()
    director = delegating.signed.get_delegated_role(DIRECTOR_ROLE)
    for keyid in list(director.keyids):
        delegating.signed.revoke_key(keyid, DIRECTOR_ROLE)
    delegating.signed.add_key(roles.tuf_key(online[DIRECTOR_ROLE]), DIRECTOR_ROLE)
    return after, delegating


def add_signature(found: Offline, key: keys.SigningKey, before: Metadata[Root]) -> int:
    """Sign *found* with *key*; return how many signatures of its role's keys it has now.

    Args:
        found: A next root, or targets.
        key: One that *before*, or a next root itself, names for the role.
        before: The root in force.

    Raises:
        SignatureRefusedError: the key says nothing for this role.
    """
    role = "root" if isinstance(found.signed, Root) else "targets"
    named = set(before.signed.roles[role].keyids)
    if isinstance(found.signed, Root):
        named |= set(found.signed.roles[role].keyids)
    if keyid_of(key.public_key()) not in named:
        raise SignatureRefusedError(
            f"This key (id {keyid_of(key.public_key())[:16]}…) says nothing for {role!r}."
        )
    found.sign(keys.tuf_signer(key), append=True)
    return len(set(found.signatures) & named)


def is_complete(found: Offline, before: Metadata[Root]) -> bool:
    """Return whether boxes that follow *before* would take *found*, but for its dates."""
    judges: list[Root] = [before.signed]
    if isinstance(found.signed, Root):
        judges.append(found.signed)
    role = "root" if isinstance(found.signed, Root) else "targets"
    return all(
        judge.get_verification_result(role, found.signed_bytes, found.signatures)
        for judge in judges
    )


def lines(found: Offline, before: Offline | None, names: Mapping[str, str]) -> Iterator[str]:
    """Yield, in words, what whoever signs *found* says yes to, and what changes since *before*.

    *names* gives what people call a key, by its id.
    """
    signed = found.signed
    yield f"{signed.type.capitalize()}, version {signed.version}, until {signed.expires:%Y-%m-%d}"
    then = dict(_roles(before)) if before is not None else {}
    for role, (keyids, threshold) in _roles(found):
        called = ", ".join(sorted(names.get(one, f"{one[:12]}…") for one in keyids))
        yield f"  {role:<16} {threshold} of {len(keyids)}: {called}"
        old, old_threshold = then.get(role, (keyids, threshold))
        for one in sorted(set(old) - set(keyids)):
            yield f"    no longer      {names.get(one, one[:12] + '…')}"
        for one in sorted(set(keyids) - set(old)) if before is not None else ():
            yield f"    new            {names.get(one, one[:12] + '…')}"
        if old_threshold != threshold:
            yield f"    threshold      {old_threshold} before"
    for role in sorted(set(then) - {name for name, _ in _roles(found)}):
        yield f"  {role:<16} is taken away"


def _roles(found: Offline) -> list[tuple[str, tuple[Sequence[str], int]]]:
    signed: Any = found.signed
    held = signed.roles if isinstance(signed, Root) else signed.delegations.roles
    return [(name, (tuple(role.keyids), role.threshold)) for name, role in sorted(held.items())]


def _next_root(data: bytes, now: datetime) -> Metadata[Root]:
    root = repository.read(Root, data, "root")
    root.signed.version += 1
    # Never before the one that it follows: its end bounds what numbers a box believes.
    after = root.signed.expires + timedelta(days=1)
    root.signed.expires = max(roles.whole_seconds(now + roles.ROOT_VALID), after)
    root.signatures.clear()
    return root
