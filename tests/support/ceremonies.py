"""Ceremonies in folders, as their people hold them, and boxes that follow what they sign."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_agent.trust.client import BOX, TrustedClient
from oleada_agent.trust.store import MetadataStore
from oleada_lab.sim.disk import SimDisk
from oleada_store import ceremony, keys, repository, roles, trust_files
from oleada_store.cli_keys import keys_group
from oleada_store.repository import OnlineSigners
from tuf.api.metadata import Metadata, Root, Targets

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WORD = b"correct horse"
MODEL = "VX-410"


class House:
    """A ceremony in a folder, and the commands as its people type them."""

    def __init__(self, home: Path) -> None:
        self.home, self.place, self.tuf = home, home / "c", home / "c" / "tuf"
        (home / "word").write_bytes(WORD)

    def type(self, *words: str | Path, keyboard: str | None = None) -> Result:
        """Type ``oleada keys`` with *words* and the passphrase at hand."""
        arguments = [*map(str, words), "--passphrase-file", str(self.home / "word")]
        return CliRunner().invoke(keys_group, arguments, input=keyboard)

    def lose(self, name: str, *with_keys: str, keyboard: str | None = None) -> Result:
        """Type the command that replaces key *name*, signed by keys of the others."""
        held = [word for one in with_keys for word in ("--key", self.place / f"{one}.pem")]
        yes = () if keyboard else ("--yes",)
        return self.type("rotate", self.place, "--lost", name, *held, *yes, keyboard=keyboard)

    def public(self) -> set[str]:
        """Return the names of the keys that count."""
        return set(keys.read_public(self.place / "public.json"))

    def root(self) -> Root:
        """Return the newest root."""
        body = trust_files.read_directory(self.tuf).roots[-1]
        return repository.read(Root, body, "root").signed

    def targets(self) -> Metadata[Targets]:
        """Return targets as they lie there."""
        return repository.read(Targets, (self.tuf / "targets.json").read_bytes(), "targets")

    def everything(self) -> dict[str, bytes]:
        """Return all files of the ceremony, by name."""
        found = (path for path in self.place.rglob("*") if path.is_file())
        return {str(path.relative_to(self.place)): path.read_bytes() for path in found}


def old_house(home: Path) -> House:
    """Return a ceremony as they were once: one key of targets, which signs alone."""
    house = House(home)
    online = keys.make_online_keys(home / "online")
    names = [*ceremony.ROOT_KEYS, "targets", *ceremony.MODEL_KEYS, *ceremony.WAVE_KEYS]
    secret = {name: Ed25519PrivateKey.generate() for name in names}
    house.tuf.mkdir(parents=True)
    for name, key in secret.items():
        keys.write_encrypted(house.place / f"{name}.pem", key, WORD)
    public = {name: key.public_key() for name, key in secret.items()}
    keys.write_public(house.place / "public.json", public | online)
    layout = roles.Layout(
        [public[name] for name in ceremony.ROOT_KEYS], [public["targets"]],
        online["snapshot"], online["timestamp"], online["director"],
        [public[name] for name in ceremony.MODEL_KEYS],
        [public[name] for name in ceremony.WAVE_KEYS], [MODEL], wave_threshold=2,
    )  # fmt: skip
    made = (
        ("1.root", roles.first_root(layout, NOON), ceremony.ROOT_KEYS),
        ("targets", roles.first_targets(layout, NOON), ("targets",)),
        (MODEL, roles.first_model(NOON), ceremony.MODEL_KEYS),
    )
    for name, document, signers in made:
        for one in signers:
            document.sign(keys.tuf_signer(secret[one]), append=True)
        (house.tuf / f"{name}.json").write_bytes(document.to_bytes())
    return house


def follows(house: House, box: MetadataStore, version: int) -> TrustedClient:
    """Let *box* fetch what a server publishes of *house*; it raises what it does not believe."""
    online = house.home / "online"
    signers = OnlineSigners(
        *(keys.tuf_signer(keys.read_online(online / f"{n}.pem")) for n in ("snapshot", "timestamp"))
    )
    files = {path.name: path.read_bytes() for path in house.tuf.glob("*.json")}
    numbers = {
        name: repository.read(Targets, files[f"{name}.json"], name).signed.version
        for name in ("targets", MODEL)
    }
    now = NOON + timedelta(days=1)
    snapshot = repository.sign_snapshot(signers, version, numbers, now)
    files |= {f"{number}.{name}.json": files[f"{name}.json"] for name, number in numbers.items()}
    files[f"{version}.snapshot.json"] = snapshot
    files["timestamp.json"] = repository.sign_timestamp(signers, version, snapshot, version, now)
    client = TrustedClient(box, lambda name, _: files.get(name), now, BOX)
    client.refresh()
    assert client.role(MODEL) is not None
    return client


def a_box(house: House) -> MetadataStore:
    box = MetadataStore(SimDisk())
    box.write("root", (house.tuf / "1.root.json").read_bytes())
    follows(house, box, 1)
    return box
