"""Who signs in a story: keys of a ceremony, held once for each process, and their first words.

The offline roles are made by the store as a key ceremony makes them, with keys of the lab's
own; nothing that is decided depends on the bytes of a key. What boxes leave the factory with
is what an enrolment and the first metadata leave on a disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from oleada_agent import enrol
from oleada_agent.trust.authority import Authority, Box
from oleada_agent.trust.floor import TimeFloor
from oleada_agent.trust.store import MetadataStore
from oleada_store import keys, repository, roles
from oleada_store.ceremony import MODEL_KEYS, ROOT_KEYS, TARGETS_KEYS
from oleada_store.repository import NewRelease
from oleada_store.trust_files import TrustFiles
from oleada_wire import messages
from oleada_wire.messages import DOWN_BYTES_MAX, Meta
from oleada_wire.release import ReleaseInfo, target_path
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization.json import JSONSerializer

from oleada_lab.sim.disk import SimDisk
from oleada_lab.sim.images import Image
from oleada_lab.sim.terms import SECURITY_VERSION
from oleada_lab.sim.world import START

ENROLLED: Final = START - timedelta(days=1)
"""When the boxes of a story met their server."""
COMPACT: Final = JSONSerializer(compact=True)
OFFLINE: Final = (*ROOT_KEYS, *TARGETS_KEYS, *MODEL_KEYS)


@dataclass(frozen=True, slots=True)
class Holders:
    """Every key of a server and of the people who sign for it.

    Attributes:
        online: By role; the server holds these.
        offline: By name, as the ceremony has them.
    """

    online: dict[str, Ed25519PrivateKey]
    offline: dict[str, Ed25519PrivateKey]

    def write_online(self, folder: Path) -> None:
        """Write the server's own keys where it looks for them."""
        folder.mkdir(exist_ok=True)
        for role, key in self.online.items():
            pem = folder / f"{role}.pem"
            pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            pem.chmod(0o600)


@cache
def holders() -> Holders:
    """Return the keys of this process, made on first use."""
    return Holders(
        {role: Ed25519PrivateKey.generate() for role in keys.ONLINE_ROLES},
        {name: Ed25519PrivateKey.generate() for name in OFFLINE},
    )


@cache
def first_files(hardware_model: str) -> TrustFiles:
    """Return what the ceremony has signed: roots, targets, and a model without releases."""
    held, model = holders(), roles.first_model(ENROLLED)
    public = {name: key.public_key() for name, key in held.offline.items()}
    layout = roles.Layout(
        root=[public[name] for name in ROOT_KEYS],
        targets=[public[name] for name in TARGETS_KEYS],
        snapshot=held.online["snapshot"].public_key(),
        timestamp=held.online["timestamp"].public_key(),
        director=held.online["director"].public_key(),
        model_signers=[public[name] for name in MODEL_KEYS],
        wave_approvers=[held.online["director"].public_key()],
        hardware_models=[hardware_model],
    )
    return TrustFiles(
        (_signed(roles.first_root(layout, ENROLLED), ROOT_KEYS),),
        _signed(roles.first_targets(layout, ENROLLED), TARGETS_KEYS),
        {hardware_model: _signed(model, MODEL_KEYS)},
    )


@cache
def with_releases(hardware_model: str, images: tuple[Image, ...]) -> tuple[int, bytes]:
    """Return version and bytes of the model's metadata with *images* as its releases."""
    first = first_files(hardware_model).models[hardware_model]
    role = repository.read(Targets, first, hardware_model)
    for image in images:
        info = ReleaseInfo((hardware_model,), image.version, SECURITY_VERSION, {"en": "Better."})
        path = target_path(hardware_model, image.version)
        release = NewRelease(path, len(image.data), image.sha256, info)
        role = repository.with_release(role, release, START + roles.MODEL_VALID)
    return role.signed.version, _signed(role, MODEL_KEYS)


def enrol_disk(disk: SimDisk, device_model: str, meta: bytes) -> None:
    """Leave on *disk* what an enrolment leaves, and the metadata that came after it.

    Args:
        meta: The server's first message of metadata.
    """
    MetadataStore(disk, enrol.TRUST).write("root", first_files(device_model).roots[0])
    enrolled_ms = int(ENROLLED.timestamp() * 1000)
    TimeFloor(disk, enrol.TRUST).raise_to(enrolled_ms)
    authority = Authority(
        Box("factory", device_model),
        disk,
        enrol.TRUST,
        now_ms=lambda: enrolled_ms,
        steady_ms=lambda: 0,
        capacity_bytes=lambda: 0,
    )
    authority.accept_meta(messages.decode(Meta, meta, DOWN_BYTES_MAX))


def _signed(metadata: Metadata[Root] | Metadata[Targets], names: Sequence[str]) -> bytes:
    for name in names:
        metadata.sign(keys.tuf_signer(holders().offline[name]), append=True)
    return metadata.to_bytes(COMPACT)
