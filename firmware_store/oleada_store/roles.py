"""The layout of roles: who may say what, and for how long.

root (2 of 3, offline) names targets, snapshot and timestamp. targets (2 of 3, offline) holds
delegations only: one terminating role for each hardware model, signed by release
signer *and* approver; and two roles that carry keys for envelopes and match no path a
client asks for. snapshot and timestamp are online. Source: trust design 1.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from oleada_wire import envelope
from oleada_wire.messages import DIRECTOR_ROLE, WAVE_ROLE
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, Targets

ROOT_THRESHOLD: Final = 2
TARGETS_THRESHOLD: Final = 2
MODEL_THRESHOLD: Final = 2
ROOT_VALID: Final = timedelta(days=365)
TARGETS_VALID: Final = timedelta(days=365)
MODEL_VALID: Final = timedelta(days=365)
SNAPSHOT_VALID: Final = timedelta(days=10)
TIMESTAMP_VALID: Final = timedelta(days=2)
ENVELOPE_ROLES: Final = (DIRECTOR_ROLE, WAVE_ROLE)


@dataclass(frozen=True, slots=True)
class Layout:
    """The public keys of each role at a ceremony.

    Attributes:
        root: At least ``ROOT_THRESHOLD`` keys.
        targets: ``TARGETS_THRESHOLD`` of them must sign; a single one signs alone.
        model_signers: The release signer and the approver, or more; any two must sign.
        wave_approvers: Keys that sign waves; *wave_threshold* of them must.
    """

    root: Sequence[Ed25519PublicKey]
    targets: Sequence[Ed25519PublicKey]
    snapshot: Ed25519PublicKey
    timestamp: Ed25519PublicKey
    director: Ed25519PublicKey
    model_signers: Sequence[Ed25519PublicKey]
    wave_approvers: Sequence[Ed25519PublicKey]
    hardware_models: Sequence[str]
    wave_threshold: int = 1


def tuf_key(key: Ed25519PublicKey) -> SSlibKey:
    """Return *key* as python-tuf holds it."""
    spelt = envelope.key_object(key)
    return SSlibKey(envelope.keyid_of(key), spelt["keytype"], spelt["scheme"], spelt["keyval"])


def first_root(layout: Layout, now: datetime) -> Metadata[Root]:
    """Return version 1 of root, unsigned, valid from *now* for ``ROOT_VALID``."""
    root = Root(expires=whole_seconds(now + ROOT_VALID), consistent_snapshot=True)
    for role, keys in (
        ("root", layout.root),
        ("targets", layout.targets),
        ("snapshot", [layout.snapshot]),
        ("timestamp", [layout.timestamp]),
    ):
        for key in keys:
            root.add_key(tuf_key(key), role)
    root.roles["root"].threshold = ROOT_THRESHOLD
    root.roles["targets"].threshold = min(TARGETS_THRESHOLD, len(layout.targets))
    return Metadata(root)


def first_targets(layout: Layout, now: datetime) -> Metadata[Targets]:
    """Return version 1 of targets, unsigned: delegations and nothing else."""
    delegations = Delegations(keys={}, roles={})
    targets = Targets(expires=whole_seconds(now + TARGETS_VALID), delegations=delegations)
    for hardware_model in layout.hardware_models:
        delegate_model(targets, hardware_model, layout.model_signers)
    _delegate(targets, DIRECTOR_ROLE, [layout.director], 1, terminating=False)
    _delegate(targets, WAVE_ROLE, layout.wave_approvers, layout.wave_threshold, terminating=False)
    return Metadata(targets)


def first_model(now: datetime) -> Metadata[Targets]:
    """Return version 1 of a model's role, unsigned and without releases."""
    return Metadata(Targets(expires=whole_seconds(now + MODEL_VALID)))


def delegate_model(
    targets: Targets, hardware_model: str, signers: Sequence[Ed25519PublicKey]
) -> None:
    """Let two of *signers* together say what *hardware_model* may run."""
    _delegate(targets, hardware_model, signers, MODEL_THRESHOLD, terminating=True)


def whole_seconds(at: datetime) -> datetime:
    """Return *at* as TUF writes times: no fractions of a second."""
    return at.replace(microsecond=0)


def _delegate(
    targets: Targets,
    name: str,
    keys: Sequence[Ed25519PublicKey],
    threshold: int,
    *,
    terminating: bool,
) -> None:
    delegations = targets.delegations
    assert delegations is not None  # noqa: S101 - first_targets made them
    assert delegations.roles is not None  # noqa: S101
    delegations.roles[name] = DelegatedRole(
        name, [], threshold, terminating=terminating, paths=[f"{name}/*"]
    )
    for key in keys:
        targets.add_key(tuf_key(key), name)
