"""Renewal in a sweep: the agent's own steps over the simulated disk; door and broker are the desk.

In a box they are a process beside the agent; what they write does not meet what it writes.
"""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from oleada_agent import keypairs, renew, renewal
from oleada_agent.errors import StorageError
from oleada_agent.ports import Disk

from oleada_lab.sweep.desk import key_of
from oleada_lab.sweep.finding import Finding, Kind
from oleada_lab.sweep.kit import CONFIG, DEVICE
from oleada_lab.sweep.world import World

REFUSED: Final = "a renewal was refused"


def look(world: World) -> None:
    """Renew, if it is due; a box whose certificates do not end in its story has no need.

    Raises:
        StorageError: the box has no pair with which it could call anybody.
    """
    if not world.desk.short_lived:
        return
    disk = world.disk
    shown = _in_use(world)
    span = keypairs.span(disk, keypairs.active(disk))
    if not renewal.is_due(span, DEVICE, world.now_ms, 0):
        return
    try:
        renew.renew(
            disk,
            CONFIG.serial,
            lambda csr_pem: world.desk.renew(csr_pem, shown),
            lambda: _call(world),
        )
    except (renew.RefusedError, renew.NotLetInError) as error:
        world.lies = (*world.lies, f"{REFUSED}: {error}")


def judge(world: World, renewals: int) -> list[Finding]:
    """Return what is wrong with the certificate of a box that rests."""
    if not renewals:
        return []
    keys = world.desk.keys
    if len(keys) != renewals + 1:
        return [Finding(Kind.STUCK, f"the box has asked for {len(keys)} keys, of {renewals + 1}")]
    if _pair(world.disk, keypairs.active(world.disk)) != keys[-1]:
        return [Finding(Kind.STUCK, "the newest certificate is not in use")]
    return []


def judge_pair(world: World) -> list[Finding]:
    """Return what is wrong with the pair of a box that rests, after whatever trouble."""
    try:
        _in_use(world)
    except StorageError as error:
        return [Finding(Kind.STUCK, str(error))]
    return []


def _in_use(world: World) -> bytes:
    """Return by what the key is known with which the box calls; as the agent falls back."""
    disk = world.disk
    for slot in (keypairs.active(disk), keypairs.spare(disk)):
        key = _pair(disk, slot)
        if key in world.desk.keys:
            return key
    raise StorageError("no certificate of this box can be used")


def _call(world: World) -> None:
    """Let the pair in the spare slot in, if it is one of ours.

    Raises:
        NotLetInError: it is not.
    """
    if _pair(world.disk, keypairs.spare(world.disk)) not in world.desk.keys:
        raise renew.NotLetInError("The broker does not let the new certificate in.")


def _pair(disk: Disk, slot: str) -> bytes:
    """Return by what the key of a whole pair is known; empty for one that is not whole."""
    folder = keypairs.FOLDERS[slot]
    try:
        key = load_pem_private_key(disk.read(f"{folder}/{keypairs.KEY}"), None)
        certificate = x509.load_pem_x509_certificate(disk.read(f"{folder}/{keypairs.CERTIFICATE}"))
        public_key = certificate.public_key()
    except (StorageError, ValueError, UnsupportedAlgorithm):
        return b""
    is_pair = isinstance(key, EllipticCurvePrivateKey) and key.public_key() == public_key
    return key_of(certificate) if is_pair else b""
