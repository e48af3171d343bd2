"""Ceremonies and bundles for tests: real keys, real signatures, small images."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_store import bundle, keys, repository, roles
from oleada_store.ceremony import MODEL_KEYS, ROOT_KEYS, TARGETS_KEYS
from oleada_store.repository import NewRelease
from oleada_store.trust_files import TrustFiles
from oleada_wire.release import ReleaseInfo, target_path
from tuf.api.metadata import Metadata, Root, Targets

MODELS = ("VX-240", "VX-410")


@dataclass
class Signers:
    """The people of a ceremony, with their keys at hand, and what is published.

    Attributes:
        models: The newest metadata of each model, as this signer's base.
    """

    secret: dict[str, Ed25519PrivateKey]
    files: TrustFiles
    models: dict[str, Metadata[Targets]] = field(default_factory=dict)

    def bundle(
        self,
        info: ReleaseInfo,
        image: bytes = b"an image" * 1000,
        signed_by: Sequence[str] = MODEL_KEYS,
        *,
        now: datetime,
        base: Metadata[Targets] | None = None,
    ) -> bytes:
        """Return a bundle of *image*, signed by the named keys, on the newest base."""
        model = info.hardware_models[0]
        base = base or self.models[model]
        role = repository.with_release(base, a_release(info, image), now + roles.MODEL_VALID)
        return self.pack(model, info, role, image, signed_by)

    def pack(
        self,
        model: str,
        info: ReleaseInfo,
        role: Metadata[Targets],
        image: bytes,
        signed_by: Sequence[str] = MODEL_KEYS,
    ) -> bytes:
        """Return a bundle that carries *role*, signed by the named keys, and *image*."""
        role.signatures.clear()
        for name in signed_by:
            role.sign(keys.tuf_signer(self.secret[name]), append=True)
        release = a_release(info, image)
        description = bundle.Description(
            format=bundle.FORMAT,
            hardware_model=model,
            version=info.version,
            role_version=role.signed.version,
            target_path=release.path,
            size_bytes=release.size_bytes,
            sha256=release.sha256,
            image_name="an.img",
            base="tuf",
        )
        out = io.BytesIO()
        bundle.write(out, bundle.Head(description, repository.write(role)), [image])
        return out.getvalue()

    def accept(self, content: bytes) -> None:
        """Take what bundle *content* publishes as the base of the next."""
        head = bundle.Reader(io.BytesIO(content)).head()
        model = head.description.hardware_model
        self.models[model] = repository.read(Targets, head.metadata, model)


def a_release(info: ReleaseInfo, image: bytes) -> NewRelease:
    """Return what the metadata says of *image*."""
    path = target_path(info.hardware_models[0], info.version)
    return NewRelease(path, len(image), sha256(image).hexdigest(), info)


def some_info(
    version: str = "1.0.0", model: str = "VX-410", security_version: int = 1
) -> ReleaseInfo:
    """Return what a release says of itself."""
    return ReleaseInfo((model,), version, security_version, {"en": f"Version {version}"})


WAVE_KEYS = ("wave-approver-1", "wave-approver-2", "wave-approver-3")


def hold_ceremony(
    online_keys: Path,
    now: datetime,
    models: Sequence[str] = MODELS,
    *,
    waves_by_people: bool = False,
) -> Signers:
    """Return the signers of a ceremony for the server whose *online_keys* these are.

    Two of three people sign waves if *waves_by_people*, else the server does.
    """
    names = (*ROOT_KEYS, *TARGETS_KEYS, *MODEL_KEYS, *WAVE_KEYS, "stranger")
    secret = {name: Ed25519PrivateKey.generate() for name in names}
    online = {
        role: keys.read_online(online_keys / f"{role}.pem").public_key()
        for role in keys.ONLINE_ROLES
    }
    people = [secret[name].public_key() for name in WAVE_KEYS]
    layout = roles.Layout(
        root=[secret[name].public_key() for name in ROOT_KEYS],
        targets=[secret[name].public_key() for name in TARGETS_KEYS],
        snapshot=online["snapshot"],
        timestamp=online["timestamp"],
        director=online["director"],
        model_signers=[secret[name].public_key() for name in MODEL_KEYS],
        wave_approvers=people if waves_by_people else [online["director"]],
        wave_threshold=2 if waves_by_people else 1,
        hardware_models=models,
    )
    root, targets = roles.first_root(layout, now), roles.first_targets(layout, now)
    held = {model: roles.first_model(now) for model in models}
    files = TrustFiles(
        (signed(root, [secret[name] for name in ROOT_KEYS[:2]]),),
        signed(targets, [secret[name] for name in TARGETS_KEYS[:2]]),
        {
            model: signed(role, [secret[name] for name in MODEL_KEYS])
            for model, role in held.items()
        },
    )
    return Signers(secret, files, held)


def signed(metadata: Metadata[Root] | Metadata[Targets], by: Sequence[Ed25519PrivateKey]) -> bytes:
    """Return the bytes of *metadata*, signed by each key of *by* and nobody else."""
    metadata.signatures.clear()
    for key in by:
        metadata.sign(keys.tuf_signer(key), append=True)
    return metadata.to_bytes()
