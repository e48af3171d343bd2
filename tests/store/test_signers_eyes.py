"""Whoever signs with an offline key reads what is new, and is not led by a forged folder."""

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_store import ceremony, keys, repository, roles
from tuf.api.metadata import Root, Targets

from tests.support.ceremonies import MODEL, NOON, WORD, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    online = keys.make_online_keys(tmp_path / "online")
    ceremony.make(house.place, online, [MODEL], lambda _: WORD, now=NOON)
    return house


def test_nobody_signs_against_a_root_that_was_made_up_to_hide_what_is_new(house: House) -> None:
    folder = house.place / "tuf"
    root = repository.read(Root, (folder / "1.root.json").read_bytes(), "root")
    root.signed.add_key(roles.tuf_key(Ed25519PrivateKey.generate().public_key()), "root")
    root.signatures.clear()
    for version in (2, 3):
        root.signed.version = version
        (folder / f"{version}.root.json").write_bytes(repository.write(root))
    before = house.everything()

    done = house.type("sign", folder / "3.root.json", "--key", house.place / "root-1.pem", "--yes")

    assert done.exit_code == 1
    assert "2.root.json is not signed as it must be to follow 1.root.json" in done.output
    assert house.everything() == before


def test_nobody_signs_in_a_folder_that_was_forged_whole(house: House, tmp_path: Path) -> None:
    own = tmp_path / "own.root.json"
    shutil.copy(house.tuf / "1.root.json", own)
    house.lose("wave-approver-1", "targets-1")
    words = (
        "sign", house.tuf / "targets.json", "--key", house.place / "targets-2.pem", "--yes",
        "--root", own,
    )  # fmt: skip
    assert house.type(*words).exit_code == 0
    forged = repository.read(Root, own.read_bytes(), "root")
    forged.signed.add_key(roles.tuf_key(Ed25519PrivateKey.generate().public_key()), "root")
    (house.tuf / "1.root.json").write_bytes(repository.write(forged))
    before = house.everything()

    done = house.type(*words)

    assert done.exit_code == 1
    assert "do not begin with" in done.output
    assert house.everything() == before


def test_what_is_new_in_targets_is_told_against_those_that_were_signed(house: House) -> None:
    house.lose("wave-approver-1", "targets-1")
    forged = repository.read(Targets, (house.tuf / "targets.json").read_bytes(), "targets")
    forged.signed.version = 2
    (house.tuf / "2.targets.json").write_bytes(repository.write(forged))
    forged.signed.version = 3
    (house.tuf / "targets.json").write_bytes(repository.write(forged))
    words = (
        "sign", house.tuf / "targets.json", "--key", house.place / "targets-2.pem", "--yes",
        "--public", house.place / "public.json",
    )  # fmt: skip

    told = house.type(*words).output
    (house.tuf / "1.targets.json").unlink()
    untold = house.type(*words).output

    assert "new            wave-approver-4" in told
    assert "nothing is marked as new" in untold
    assert "new            " not in untold
