"""What is signed is shown in words to whoever looks, with all that speaks against it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from oleada_store import keys
from oleada_store.cli import keys_group, release_group
from oleada_store.clock import now_utc

from tests.support.releases import Signers, hold_ceremony, some_info


class Desk:
    """A folder with the metadata of a ceremony, and bundles."""

    def __init__(self, home: Path, now: datetime) -> None:
        self.home, self.now = home, now
        keys.make_online_keys(home / "online")
        self.signers: Signers = hold_ceremony(home / "online", now)
        (home / "tuf").mkdir()
        files = self.signers.files
        written = {"1.root.json": files.roots[0], "targets.json": files.targets}
        for name, body in {**written, **{f"{m}.json": b for m, b in files.models.items()}}.items():
            (home / "tuf" / name).write_bytes(body)
        public = {name: key.public_key() for name, key in self.signers.secret.items()}
        keys.write_public(home / "public.json", public)

    def bundle(self, *signed_by: str, image: bytes = b"an image") -> Path:
        """Return a bundle of 5.8.2 that the people named have signed."""
        path = self.home / "box.oleada"
        made = self.signers.bundle(some_info("5.8.2"), image, signed_by, now=self.now)
        path.write_bytes(made)
        return path

    def show(self, *words: object, group: str = "release") -> Result:
        """Type ``show`` with the names of the ceremony at hand."""
        chosen = {"release": release_group, "keys": keys_group}[group]
        more = ["--public", str(self.home / "public.json")]
        return CliRunner().invoke(chosen, ["show", *map(str, words), *more])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, now_utc())


def test_a_bundle_that_both_have_signed_is_told_with_their_names(desk: Desk) -> None:
    path = desk.bundle("release-signer", "approver")

    done = desk.show(path, "--base", desk.home / "tuf")

    assert done.exit_code == 0, done.output
    assert "Version           5.8.2" in done.output
    assert "  by              approver\n" in done.output
    assert "  by              release-signer\n" in done.output
    assert done.output.endswith("Every signature that is needed is there.\n")


@pytest.mark.parametrize("people", [(), ("approver",), ("approver", "stranger")])
def test_a_bundle_that_lacks_a_signature_says_how_many(desk: Desk, people: tuple[str, ...]) -> None:
    done = desk.show(desk.bundle(*people), "--base", desk.home / "tuf")

    assert done.exit_code == 1
    assert f"carries {len(set(people) - {'stranger'})} of the 2 signatures" in done.output


def test_without_what_is_published_no_signature_is_called_good(desk: Desk) -> None:
    done = desk.show(desk.bundle("release-signer", "approver"))

    assert done.exit_code == 1
    assert "it says, by     approver" in done.output
    assert (
        "NOT BELIEVED: No signature was checked; give what is published by --base." in done.output
    )


def test_an_image_that_was_exchanged_is_found(desk: Desk) -> None:
    path = desk.bundle("release-signer", "approver", image=b"the one image")
    content = path.read_bytes()
    assert content.count(b"the one image") == 1
    path.write_bytes(content.replace(b"the one image", b"the two image"))

    done = desk.show(path, "--base", desk.home / "tuf")

    assert done.exit_code == 1
    assert "NOT BELIEVED: The image has SHA-256" in done.output
    assert "carries" not in done.output  # the signatures are good, and said to be


def test_a_folder_of_metadata_is_told_from_the_root_down(desk: Desk) -> None:
    done = desk.show(desk.home / "tuf", group="keys")

    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("Root, version 1, until ")
    assert "  root             2 of 3: root-1, root-2, root-3" in lines
    assert "  VX-410           2 of 2: approver, release-signer" in lines
    assert any(line.startswith("VX-410, version 1, until ") for line in lines)


def test_metadata_that_boxes_would_not_believe_says_why(desk: Desk) -> None:
    path = desk.home / "tuf" / "VX-410.json"
    path.write_bytes(
        (desk.home / "tuf" / "VX-240.json").read_bytes().replace(b'"sig":"', b'"sig":"0')
    )
    (desk.home / "tuf" / "VX-240.json").unlink()

    done = desk.show(desk.home / "tuf", group="keys")

    assert done.exit_code == 1
    assert "NOT BELIEVED: VX-240.json is missing." in done.output
    assert "NOT BELIEVED: The metadata of 'VX-410' carries 0 of the 2 signatures" in done.output


def test_what_has_expired_is_said_to_have(tmp_path: Path) -> None:
    desk = Desk(tmp_path, datetime(2020, 1, 1, tzinfo=UTC))

    done = desk.show(desk.home / "tuf", group="keys")

    assert done.exit_code == 1
    assert "NOT BELIEVED: VX-410 has expired." in done.output
