"""Whose signatures a model's releases need, as the published metadata says."""

from dataclasses import dataclass
from datetime import datetime

from oleada_store import repository
from oleada_store.errors import StoreError
from tuf.api.metadata import Targets

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
