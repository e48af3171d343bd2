"""What we did not write is what its makers published, with its licence beside it."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELVES = [ROOT / "server/oleada_server/static/vendor", ROOT / "tests/vendor"]


@pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.parent.name)
def test_each_vendored_file_has_its_hash_its_source_and_its_licence(shelf: Path) -> None:
    listed = json.loads((shelf / "manifest.json").read_text())["files"]

    for entry in listed:
        assert sha256((shelf / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert (shelf / entry["licence_file"]).stat().st_size > 100
        assert entry["source"].startswith("https://registry.npmjs.org/")


@pytest.mark.parametrize("shelf", SHELVES, ids=lambda shelf: shelf.parent.name)
def test_nothing_is_vendored_that_the_manifest_does_not_list(shelf: Path) -> None:
    listed = json.loads((shelf / "manifest.json").read_text())["files"]

    named = {entry[key] for entry in listed for key in ("file", "licence_file")}

    assert {path.name for path in shelf.iterdir()} == named | {"manifest.json"}


def test_our_own_script_stays_small() -> None:
    script = ROOT / "server/oleada_server/static/console.js"

    assert script.stat().st_size <= 6 * 1024


def test_fonts_and_icons_have_their_licences() -> None:
    static = ROOT / "server/oleada_server/static"

    assert "SIL OPEN FONT LICENSE" in (static / "fonts/OFL-atkinson-hyperlegible.txt").read_text()
    assert "ISC License" in (static / "icons-LICENSE-lucide.txt").read_text()
