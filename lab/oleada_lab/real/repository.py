"""A whole TUF repository in memory, made by python-tuf as the server's store makes it.

Root 2 of 3, targets 2 of 2 with delegations only, one terminating role a model (2 of 2),
``director`` and ``wave-approvers`` as holders of keys; one change at a time, then
``publish``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_wire.envelope import KeySigner
from oleada_wire.messages import DIRECTOR_ROLE, WAVE_ROLE
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODEL = "VX-410"
IMAGE = b"an image of eight and more bytes" * 40
COMPACT = JSONSerializer(compact=True)
KEYS_OF = {"root": 3, "timestamp": 1, "snapshot": 1, "targets": 2, MODEL: 2, "VX-500": 2}


def a_custom(**changes: Any) -> dict[str, Any]:
    """Return what a release says of itself, with *changes*."""
    return {
        "hardware_models": [MODEL],
        "version": "5.8.2",
        "security_version": 3,
        "notes": {"en": 'Sound stays in step.\nAnd a quoted "word" \\ too.'},
        **changes,
    }


@dataclass
class Repository:
    """What a server would serve, and every key that it could lose.

    Attributes:
        files: By name, as last published; a test may change or remove any.
        asked: Every name that was asked for, in order.
    """

    consistent: bool = True
    now: datetime = NOON
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    signers: dict[str, list[CryptoSigner]] = field(default_factory=dict)
    signed: dict[str, Metadata[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role, count in KEYS_OF.items():
            self.signers[role] = [CryptoSigner.generate_ed25519() for _ in range(count)]
        self.director = KeySigner.of(Ed25519PrivateKey.generate())
        self.approvers = [KeySigner.of(Ed25519PrivateKey.generate()) for _ in range(2)]
        root = Root(expires=self._after(365), consistent_snapshot=self.consistent)
        for role in ("root", "timestamp", "snapshot", "targets"):
            for signer in self.signers[role]:
                root.add_key(signer.public_key, role)
        root.roles["root"].threshold = 2
        root.roles["targets"].threshold = 2
        self.signed["root"] = Metadata(root)
        targets = Targets(expires=self._after(365))
        targets.delegations = Delegations({}, {})
        self.signed["targets"] = Metadata(targets)
        for model in (MODEL, "VX-500"):
            self.delegate(model, [f"{model}/*"], self.signers[model])
            self.signed[model] = Metadata(Targets(expires=self._after(365)))
        self.delegate(DIRECTOR_ROLE, ["-/director"], [crypto(self.director)])
        self.delegate(WAVE_ROLE, ["-/waves"], [crypto(one) for one in self.approvers])
        self.signed["snapshot"] = Metadata(Snapshot(expires=self._after(14), meta={}))
        self.signed["timestamp"] = Metadata(Timestamp(expires=self._after(3)))
        self.add_target(f"{MODEL}/5.8.2.img")
        self.publish("root", "targets", MODEL, "VX-500")

    def delegate(self, name: str, paths: list[str], signers: list[CryptoSigner]) -> None:
        """Delegate *paths* to *name*, terminating, signed by all of *signers*."""
        targets = self.signed["targets"].signed
        role = DelegatedRole(name, [], len(signers), True, paths)
        targets.delegations.roles[name] = role
        for signer in signers:
            targets.add_key(signer.public_key, name)

    def add_target(self, path: str, image: bytes = IMAGE, **custom: Any) -> None:
        """Put a release at *path*; sign with :meth:`publish`."""
        target = TargetFile.from_data(path, image, ["sha256"])
        target.unrecognized_fields["custom"] = a_custom(**custom)
        self.signed[path.partition("/")[0]].signed.targets[path] = target

    def publish(self, *roles: str, bump: bool = True) -> None:
        """Sign *roles*, then snapshot and timestamp, and put them all in ``files``."""
        for role in roles:
            self._sign(role, bump and self._is_published(role))
        self.publish_online()

    def publish_online(self) -> None:
        """Sign snapshot and timestamp anew over what the other roles now are."""
        snapshot = self.signed["snapshot"].signed
        for role in ("targets", MODEL, "VX-500"):
            snapshot.meta[f"{role}.json"] = MetaFile(self.signed[role].signed.version)
        self._sign("snapshot", self._is_published("snapshot"))
        data = self.files[self.name_of("snapshot")]
        self.signed["timestamp"].signed.snapshot_meta = MetaFile.from_data(
            snapshot.version, data, ["sha256"]
        )
        self._sign("timestamp", self._is_published("timestamp"))

    def sign_again(self, role: str, change: Callable[[Any], None], signers: int = 99) -> None:
        """Change the signed part of *role* and sign it with the first *signers* keys."""
        change(self.signed[role].signed)
        self._sign(role, bump=False, signers=signers)

    def name_of(self, role: str) -> str:
        """Return the name under which *role*'s newest version is fetched."""
        version = self.signed[role].signed.version
        if role == "root" or (self.consistent and role != "timestamp"):
            return f"{version}.{role}.json"
        return f"{role}.json"

    def get(self, name: str, size_bytes_max: int) -> bytes | None:
        """Serve *name* as the port of the verifier asks for it."""
        self.asked.append(name)
        found = self.files.get(name)
        return None if found is None else found[: size_bytes_max + 1]

    def plain_files(self) -> dict[str, str]:
        """Return the newest files by plain name and the root chain, as ``meta`` carries them."""
        found = {
            f"{role}.json": self.files[self.name_of(role)].decode()
            for role in ("timestamp", "snapshot", "targets", MODEL)
        }
        roots = {name: data.decode() for name, data in self.files.items() if "root" in name}
        return found | roots

    def _sign(self, role: str, bump: bool, signers: int = 99) -> None:
        metadata = self.signed[role]
        metadata.signed.version += 1 if bump else 0
        metadata.signatures.clear()
        for signer in self.signers[role][:signers]:
            metadata.sign(signer, append=True)
        self.files[self.name_of(role)] = metadata.to_bytes(COMPACT)

    def _is_published(self, role: str) -> bool:
        return self.name_of(role) in self.files

    def _after(self, days: int) -> datetime:
        return self.now + timedelta(days=days)


def crypto(signer: KeySigner) -> CryptoSigner:
    """Return *signer* as python-tuf knows signers."""
    return CryptoSigner(signer.key)


def replace_a_root_key(repository: Repository) -> None:
    """Give one of the holders of the root's keys another one; sign with ``publish``."""
    signers = repository.signers["root"]
    fresh = CryptoSigner.generate_ed25519()
    root = repository.signed["root"].signed
    root.revoke_key(signers[-1].public_key.keyid, "root")
    root.add_key(fresh.public_key, "root")
    signers[-1] = fresh
