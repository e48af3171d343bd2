"""After the ceremony: a root key is lost, a server is stolen, a box sleeps for years."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_agent.trust.client import BOX, TrustedClient
from oleada_agent.trust.store import MetadataStore
from oleada_lab.sim.disk import SimDisk
from oleada_store import ceremony, keys, repository, succession
from oleada_store.cli_keys import keys_group
from oleada_store.drill import Drill, DrillFailedError
from oleada_store.errors import SignatureRefusedError
from oleada_store.repository import OnlineSigners
from tuf.api.metadata import Root

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
WORD = b"correct horse"
MODEL = "VX-410"


class House:
    """A ceremony in a folder, and the commands as its people type them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.online = keys.make_online_keys(home / "online")
        (home / "word").write_bytes(WORD)
        ceremony.make(self.home / "c", self.online, [MODEL], lambda _: WORD, now=NOON)

    @property
    def tuf(self) -> Path:
        """The metadata of the ceremony."""
        return self.home / "c" / "tuf"

    def type(self, *words: str | Path) -> Result:
        """Type ``oleada keys`` with *words* and the passphrase at hand."""
        arguments = [*map(str, words), "--passphrase-file", str(self.home / "word")]
        return CliRunner().invoke(keys_group, arguments)

    def key(self, name: str) -> Path:
        """Return the file of a key."""
        return self.home / "c" / f"{name}.pem"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def published(tuf: Path, online: Path, version: int = 1) -> dict[str, bytes]:
    """Return what a server with the *online* keys serves of the ceremony in *tuf*."""
    files = {path.name: path.read_bytes() for path in tuf.glob("*.root.json")}
    signers = OnlineSigners(
        *(keys.tuf_signer(keys.read_online(online / f"{n}.pem")) for n in ("snapshot", "timestamp"))
    )
    targets = (tuf / "targets.json").read_bytes()
    number = succession.read_offline(targets).signed.version
    now = max(
        repository.read(Root, body, "root").signed.expires for body in files.values()
    ) - timedelta(days=300)
    snapshot = repository.sign_snapshot(signers, version, {"targets": number, MODEL: 1}, now)
    stamp = repository.sign_timestamp(signers, version, snapshot, version, now)
    files |= {
        f"{number}.targets.json": targets,
        f"1.{MODEL}.json": (tuf / f"{MODEL}.json").read_bytes(),
    }
    return files | {f"{version}.snapshot.json": snapshot, "timestamp.json": stamp}


def follow(store: MetadataStore, files: dict[str, bytes], now: datetime) -> TrustedClient:
    client = TrustedClient(store, lambda name, _: files.get(name), now, BOX)
    client.refresh()
    client.role(MODEL)
    return client


def a_box(root: bytes) -> MetadataStore:
    store = MetadataStore(SimDisk())
    store.write("root", root)
    return store


def test_a_lost_root_key_is_replaced_and_a_box_that_slept_over_five_roots_follows(
    house: House,
) -> None:
    box = a_box((house.tuf / "1.root.json").read_bytes())

    held = ["root-1", "root-2", "root-3"]
    for lost in ("root-1", "root-2", "root-3", "root-4", "root-5", "root-6"):
        held.remove(lost)
        house.key(lost).unlink()
        with_keys = [word for name in held for word in ("--key", house.key(name))]
        done = house.type("rotate", house.home / "c", "--lost", lost, *with_keys, "--yes")
        assert done.exit_code == 0, done.output
        held.append(f"root-{int(lost[5:]) + 3}")
        assert f"no longer      {lost}" in done.output

    files = published(house.tuf, house.home / "online")
    now = NOON + timedelta(days=1)
    assert follow(box, files, now).root.document.version == 7


def test_one_root_key_replaces_nobody(house: House) -> None:
    done = house.type(
        "rotate", house.home / "c", "--lost", "root-1", "--key", house.key("root-2"), "--yes"
    )

    assert "needs more signatures" in done.output
    before = repository.read(Root, (house.tuf / "1.root.json").read_bytes(), "root")
    assert not succession.root_change(
        (house.tuf / "2.root.json").read_bytes(), before
    ).is_complete()


def test_the_second_person_signs_elsewhere_after_reading_what_changes(house: House) -> None:
    house.type(
        "rotate", house.home / "c", "--lost", "root-1", "--key", house.key("root-2"), "--yes"
    )

    done = house.type(
        "sign", house.tuf / "2.root.json", "--key", house.key("root-3"),
        "--public", house.home / "c" / "public.json", "--yes",
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "Root, version 2" in done.output
    assert "new            root-4" in done.output
    assert "is signed" in done.output


def test_after_a_theft_other_online_keys_undo_a_fast_forward(house: House, tmp_path: Path) -> None:
    box = a_box((house.tuf / "1.root.json").read_bytes())
    thief = published(house.tuf, house.home / "online", version=2**31)
    follow(box, thief, NOON)

    keys.make_online_keys(tmp_path / "new")
    done = house.type(
        "rotate", house.home / "c", "--online", tmp_path / "new" / "online-public.json",
        "--key", house.key("root-1"), "--key", house.key("root-3"),
        "--key", house.key("targets-1"), "--key", house.key("targets-3"),
        "--yes",
    )  # fmt: skip
    assert done.exit_code == 0, done.output

    client = follow(box, published(house.tuf, tmp_path / "new"), NOON)
    assert client.timestamp.document.version == 1
    director = client.targets.role_of("director")
    assert director is not None
    assert len(director.keyids) == 1


def test_a_stranger_s_key_signs_no_root(house: House) -> None:
    first = (house.tuf / "1.root.json").read_bytes()
    change = succession.root_change(first, repository.read(Root, first, "root"))

    with pytest.raises(SignatureRefusedError):
        change.sign(Ed25519PrivateKey.generate())


def test_the_drill_passes_and_says_each_step(tmp_path: Path) -> None:
    said = list(Drill(tmp_path, NOON).play())

    assert len(said) == 9
    assert "targets-1 is stolen. Alone it replaces nobody." in said
    assert said[-1].startswith("A box that knows only root 1 walks to root 4")


def test_a_drill_in_which_one_key_is_enough_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(succession.Change, "is_complete", lambda _: True)

    with pytest.raises(DrillFailedError, match="One stolen key"):
        list(Drill(tmp_path, NOON).play())
