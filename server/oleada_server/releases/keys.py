"""Whose signatures a model's releases and its waves need, as the published metadata says."""

from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from oleada_store import repository
from oleada_store.errors import StoreError
from oleada_wire.envelope import RoleKeys
from oleada_wire.messages import WAVE_ROLE
from tuf.api.metadata import Targets

from oleada_server.messaging import service as messaging
from oleada_server.releases import metadata
from oleada_server.releases.errors import TrustMissingError


@dataclass(frozen=True, slots=True)
class Rule:
    """How many of which keys sign for a model, and until when its metadata is valid."""

    threshold: int
    key_ids: frozenset[str]
    valid_until: datetime | None


def rule_of(hardware_model: str) -> Rule | None:
    """Return the rule for a model; None when no keys are installed for it.

    Signatures are not checked here: what is published was checked when it came in, and
    each box checks it by itself.
    """
    try:
        files = metadata.published()
    except TrustMissingError:
        return None
    try:
        targets = repository.read(Targets, files.targets, "targets").signed
        roles = (targets.delegations.roles or {}) if targets.delegations else {}
        if hardware_model not in roles:
            return None
        role = roles[hardware_model]
        body = files.models.get(hardware_model)
        until = repository.read(Targets, body, hardware_model).signed.expires if body else None
    except StoreError:
        return None
    return Rule(role.threshold, frozenset(role.keyids), until)


def wave_role() -> RoleKeys | None:
    """Return whose keys sign waves, as the published metadata says; None before a ceremony.

    Raises:
        BadMetadataError: what is published can not be read.
    """
    try:
        files = metadata.published()
    except TrustMissingError:
        return None
    targets = repository.read(Targets, files.targets, "targets").signed
    role = (targets.delegations.roles or {}).get(WAVE_ROLE) if targets.delegations else None
    if role is None or targets.delegations is None:
        return None
    held = targets.delegations.keys
    found = {
        keyid: Ed25519PublicKey.from_public_bytes(bytes.fromhex(held[keyid].keyval["public"]))
        for keyid in role.keyids
        if keyid in held and held[keyid].keytype == "ed25519"
    }
    return RoleKeys(found, role.threshold)


def is_signed_here(role: RoleKeys) -> bool:
    """Return whether the server's own director key is enough for *role*."""
    return role.threshold == 1 and messaging.director().keyid in role.keys
