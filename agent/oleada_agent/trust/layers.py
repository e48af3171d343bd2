"""What each signed layer must say for an image to run here; pure, fails closed.

Every check raises: ``RefusedError`` when more metadata will not change the answer,
``NotYetError`` when something may still be on its way.
Source: trust design 1.5.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from oleada_wire import cohort
from oleada_wire.envelope import RoleKeys
from oleada_wire.errors import MalformedMessageError
from oleada_wire.messages import DIRECTOR_ROLE, WAVE_ROLE, Assignment, Cohort, Wave
from oleada_wire.release import ReleaseInfo, parse_target_path
from oleada_wire.version import version_key
from oleada_wire.words import Reason

from oleada_agent.trust.client import TrustedClient
from oleada_agent.trust.errors import MalformedMetadataError
from oleada_agent.trust.metadata import Document, Target, Targets
from oleada_agent.trust.trusted_time import NEVER_MS

LIFETIME_MAX_MS: Final = 7 * 24 * 3_600_000
"""An assignment lives at most a week (trust design 1.5, layer 3)."""


class _LayerError(Exception):
    """A layer does not say yes.

    Attributes:
        reason: The code that a report carries.
        certain_from_ms: The time from which this is so, if it is for the time; 0 if it is not.
    """

    def __init__(self, reason: Reason, detail: str, certain_from_ms: int = 0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.certain_from_ms = certain_from_ms


class RefusedError(_LayerError):
    """This image may not run here."""


class NotYetError(_LayerError):
    """Something signed has not come yet; *reason* is what it comes to if it never does."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The box as the layers see it.

    Attributes:
        security_floor: No image below it is installed.
        capacity_bytes: Of the spare slot.
        denied: Digests of the deny list.
        provides: What the box can do.
        passes: Signed versions for its model that no box may skip.
    """

    device_id: str
    hardware_model: str
    version: str
    security_floor: int
    capacity_bytes: int
    denied: frozenset[str]
    provides: frozenset[str] = frozenset()
    passes: tuple[str, ...] = ()


def passes_of(targets: Targets, denied: frozenset[str]) -> tuple[str, ...]:
    """Return the versions of *targets* that no box may skip; one that is denied can be skipped."""
    return tuple(
        parse_path(path)[1]
        for path, target in targets.targets.items()
        if isinstance(target.custom, dict)
        and target.custom.get("must_pass") is True
        and target.hashes.get("sha256") not in denied
    )


def roles_of(targets: Targets) -> dict[str, RoleKeys]:
    """Return who signs envelopes, as the offline targets role says; only Ed25519 keys count.

    Raises:
        MalformedMetadataError: a key of such a role is not a key.
    """
    found = {}
    for name in (DIRECTOR_ROLE, WAVE_ROLE):
        role = targets.role_of(name)
        if role is None:
            continue
        # By public key first: one key under two ids must not count twice.
        by_public = {
            targets.keys[keyid].identity: keyid
            for keyid in role.keyids
            if keyid in targets.keys and targets.keys[keyid].keytype == "ed25519"
        }
        try:
            keys = {keyid: targets.keys[keyid].ed25519() for keyid in by_public.values()}
        except ValueError as error:
            raise MalformedMetadataError(f"A key of '{name}' is not a key: {error}.") from error
        found[name] = RoleKeys(keys, role.threshold)
    return found


def documents(trusted: TrustedClient, hardware_model: str) -> dict[str, Document]:
    """Return what an image of the model hangs from, by name."""
    return {
        "root": trusted.root.document,
        "timestamp": trusted.timestamp.document,
        "snapshot": trusted.snapshot.document,
        "targets": trusted.targets.document,
        hardware_model: trusted.role(hardware_model).document,
    }


def check_fresh(trusted: TrustedClient, hardware_model: str, now: datetime) -> None:
    """Refuse for now when any metadata that was once fresh has expired since."""
    for name, document in documents(trusted, hardware_model).items():
        if document.expires <= now:
            raise NotYetError(
                Reason.UNTRUSTED,
                f"The trusted '{name}' expired at {document.expires:%Y-%m-%d}.",
                int(document.expires.timestamp() * 1000),
            )


def parse_path(path: str) -> tuple[str, str]:
    """Return hardware model and version that target *path* names."""
    try:
        return parse_target_path(path)
    except MalformedMessageError as error:
        raise RefusedError(Reason.UNTRUSTED, str(error)) from error


def check_assignment(assignment: Assignment, now_ms: int) -> None:
    """Check what an assignment says of itself."""
    if assignment.expires_ms <= now_ms:
        raise RefusedError(Reason.EXPIRED, "The assignment has expired.", assignment.expires_ms)
    if assignment.expires_ms - assignment.issued_ms > LIFETIME_MAX_MS:
        raise RefusedError(Reason.UNTRUSTED, "The assignment is valid for more than 7 days.")
    if assignment.size_bytes < 1:
        raise RefusedError(Reason.UNTRUSTED, "The assignment names an empty image.")


def check_release(assignment: Assignment, target: Target, facts: Facts) -> None:
    """Check that the trusted *target* is what is assigned, and that it fits this box."""
    if (target.length, target.hashes.get("sha256")) != (assignment.size_bytes, assignment.sha256):
        raise RefusedError(
            Reason.UNTRUSTED, "Size or SHA-256 of the assignment are not those that were signed."
        )
    try:
        info = ReleaseInfo.from_custom(target.custom)
    except MalformedMessageError as error:
        raise RefusedError(
            Reason.UNTRUSTED, f"The signed release is unreadable: {error}"
        ) from error
    named = (assignment.version, assignment.security_version)
    _, path_version = parse_path(assignment.target_path)
    if named != (info.version, info.security_version) or path_version != info.version:
        raise RefusedError(
            Reason.UNTRUSTED, "Version or security version are not those that were signed."
        )
    if facts.hardware_model not in info.hardware_models:
        raise RefusedError(
            Reason.WRONG_HARDWARE,
            f"The release is for {', '.join(info.hardware_models)}; "
            f"this box is a {facts.hardware_model}.",
        )
    _check_floors(info, facts)
    _check_way(info, facts)
    if assignment.sha256 in facts.denied:
        raise RefusedError(Reason.DENIED, "The image is on the deny list.")
    if assignment.size_bytes > facts.capacity_bytes:
        raise RefusedError(
            Reason.TOO_LARGE,
            f"The image has {assignment.size_bytes} bytes; the slot takes {facts.capacity_bytes}.",
        )


def check_wave(assignment: Assignment, wave: Wave, facts: Facts, now_ms: int) -> None:
    """Check that the verified *wave* lets this release go to this box now."""
    said = (wave.rollout_id, wave.hardware_model, wave.target_path, wave.sha256, wave.size_bytes,
            wave.security_version)  # fmt: skip
    asked = (assignment.rollout_id, facts.hardware_model, assignment.target_path,
             assignment.sha256, assignment.size_bytes, assignment.security_version)  # fmt: skip
    if said != asked:
        raise RefusedError(Reason.NOT_COVERED, "The wave is for another release.")
    if now_ms > wave.not_after_ms:
        raise RefusedError(Reason.NOT_COVERED, "The wave is over.", wave.not_after_ms)
    if now_ms < wave.not_before_ms:
        raise NotYetError(Reason.NOT_COVERED, "The wave has not begun.", NEVER_MS)
    if not _covers(wave.cohort, facts.device_id, assignment.proof):
        raise RefusedError(Reason.NOT_COVERED, "The wave does not cover this box.")


def _check_floors(info: ReleaseInfo, facts: Facts) -> None:
    if info.security_version < facts.security_floor:
        raise RefusedError(
            Reason.BELOW_SECURITY_FLOOR,
            f"Security version {info.security_version} is below this box's floor, "
            f"{facts.security_floor}.",
        )
    if info.min_version is None:
        return
    try:
        is_old = version_key(facts.version) < version_key(info.min_version)
    except ValueError:
        is_old = True  # a box that can not name its version is not known to be new enough
    if is_old:
        raise RefusedError(
            Reason.BELOW_MINIMUM_VERSION,
            f"The release needs {info.min_version} or newer; this box runs {facts.version}.",
        )


def _check_way(info: ReleaseInfo, facts: Facts) -> None:
    """Check that the box can do what the release needs, and skips no version on its way."""
    missing = set(info.depends or ()) - facts.provides
    if missing:
        raise RefusedError(
            Reason.WRONG_HARDWARE, f"The release needs {', '.join(sorted(missing))}."
        )
    for version in facts.passes:
        if version_key(version) >= version_key(info.version):
            continue
        try:
            skips = version_key(facts.version) < version_key(version)
        except ValueError:
            skips = True  # as of a box that is not known to be new enough
        if skips:
            raise RefusedError(
                Reason.BELOW_MINIMUM_VERSION,
                f"No box may skip {version}; this one runs {facts.version}.",
            )


def _covers(where: Cohort, device_id: str, proof: tuple[str, ...]) -> bool:
    if where.merkle_root is not None:
        return cohort.merkle_covers(where.merkle_root, device_id, proof)
    if where.salt is None or where.share_parts is None:
        return False
    return cohort.place(where.salt, device_id) < where.share_parts
