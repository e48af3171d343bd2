"""Two readers of the same metadata: the box never accepts what python-tuf refuses.

Repositories are damaged in many ways, signed again or not, and shown to both. A box may
be stricter; each such refusal is a named one.
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oleada_agent.disk import RealDisk
from oleada_agent.trust import keys
from oleada_agent.trust.client import SPECIFICATION, TrustedClient
from oleada_agent.trust.errors import TrustError
from oleada_agent.trust.store import MetadataStore
from securesystemslib.formats import encode_canonical
from tuf.api import exceptions
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from tests.agent.edge.repository import MODEL, NOON, Repository

PATH = f"{MODEL}/5.8.2.img"
ROLES = ("root", "timestamp", "snapshot", "targets", MODEL)
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 99, 2**40, "", "1", "x", "1.0.31", "2.0", [], {}, ["x"],
    [None], {"x": 1}, "2026-11-21T12:00:00Z", "2099-01-01T00:00:00Z", "2026-11-21", "ed25519",
    "0" * 64, "*", "root", "snapshot.json",
]  # fmt: skip


class Served(FetcherInterface):
    """Gives python-tuf the files of a dictionary."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def _fetch(self, url: str) -> Any:
        name = url.removeprefix("http://repository/")
        if name not in self.files:
            raise exceptions.DownloadHTTPError("not there", 404)
        return iter([self.files[name]])


def theirs(home: Path, root: bytes, files: dict[str, bytes]) -> bool:
    """Return whether python-tuf trusts *files* and finds the target."""
    home.mkdir()
    updater = Updater(
        str(home), "http://repository/", fetcher=Served(files), bootstrap=root,
        config=UpdaterConfig(max_root_rotations=3),
    )  # fmt: skip
    updater._trusted_set.reference_time = NOON
    return updater.get_targetinfo(PATH) is not None


def ours(home: Path, root: bytes, files: dict[str, bytes]) -> bool:
    """Return whether the box's verifier trusts *files* and finds the target."""
    store = MetadataStore(RealDisk(home), copies=1)
    store.write("root", root)

    def get(name: str, size_bytes_max: int) -> bytes | None:
        found = files.get(name)
        return None if found is None else found[: size_bytes_max + 1]

    client = TrustedClient(store, get, NOON, SPECIFICATION)
    client.refresh()
    return client.find(PATH).path == PATH


def verdict(judge: Callable[[Path, bytes, dict[str, bytes]], bool], *case: Any) -> str:
    """Return ``accepts``, or the name of the refusal."""
    try:
        return "accepts" if judge(*case) else "refuses"
    except (TrustError, exceptions.RepositoryError, exceptions.DownloadError) as error:
        return type(error).__name__


def every_place(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside *value*."""
    found = [path] if path else []
    if isinstance(value, dict):
        found += [place for key in value for place in every_place(value[key], (*path, key))]
    elif isinstance(value, list):
        found += [
            place for n, child in enumerate(value) for place in every_place(child, (*path, n))
        ]
    return found


def damaged(text: bytes, dice: random.Random) -> Any:
    """Return the document with one value changed, removed, doubled or added."""
    document = json.loads(text)
    *parents, last = dice.choice(every_place(document))
    place = document
    for key in parents:
        place = place[key]
    match dice.randrange(4):
        case 0 if isinstance(place, dict):
            del place[last]
        case 1 if isinstance(place, dict):
            place[f"{last}2"] = place[last]
        case 2 if isinstance(place, list):
            place.append(place[last])
        case _:
            place[last] = dice.choice(VALUES)
    return document


def signed_again(repository: Repository, role: str, document: Any) -> None:
    """Sign whatever *document* says now, as a thief of the role's keys would."""
    if not isinstance(document.get("signed"), dict):
        return
    data = str(encode_canonical(document["signed"])).encode()
    document["signatures"] = [
        {"keyid": signer.public_key.keyid, "sig": signer.sign(data).signature}
        for signer in repository.signers[role]
    ]


@pytest.mark.parametrize("seed", range(10))
def test_the_box_never_accepts_what_python_tuf_refuses(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    repository = Repository(consistent=bool(seed % 2))
    repository.publish("root")
    first = repository.files["1.root.json"]
    seen: Counter[str] = Counter()

    for number in range(40):
        role = dice.choice(ROLES)
        name = repository.name_of(role)
        files = dict(repository.files)
        document = damaged(files[name], dice)
        if dice.random() < 0.7:
            signed_again(repository, role, document)
        files[name] = json.dumps(document).encode()

        reference = verdict(theirs, tmp_path / f"t{number}", first, files)
        box = verdict(ours, tmp_path / f"o{number}", first, files)

        if box == "accepts":
            assert reference == "accepts", f"seed {seed}, case {number}: {role} {document}"
        seen["same" if (box == "accepts") == (reference == "accepts") else f"stricter: {box}"] += 1

    assert seen["same"] > 30, seen


def test_an_undamaged_repository_is_accepted_by_both(tmp_path: Path) -> None:
    repository = Repository()
    root = repository.files["1.root.json"]

    assert verdict(theirs, tmp_path / "t", root, repository.files) == "accepts"
    assert verdict(ours, tmp_path / "o", root, repository.files) == "accepts"


@pytest.mark.parametrize(
    "value", [{}, [], "", '\\"\n\té\U0001f600', {"b": [1, -5, None, True], "a": {"": ""}}, 2**62]
)
def test_what_is_signed_is_spelt_as_python_tuf_spells_it(value: Any) -> None:
    assert keys.canonical(value) == str(encode_canonical(value)).encode()
