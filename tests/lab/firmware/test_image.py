"""Images: the same bytes whoever builds them, and a header that seals them."""

import ast
import os
import random
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import oleada_agent
import pytest
from oleada_agent.boot.image import check_file
from oleada_lab.errors import ImageError
from oleada_lab.firmware.agent_zipapp import build_zipapp, without_docstrings
from oleada_lab.firmware.image import ImageSpec, build_image, build_small_image, sha256_of

SPEC = ImageSpec("VX-410", "5.8.2")


def test_the_same_tree_gives_the_same_bytes_in_another_folder_order_and_year(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first", tmp_path / "a" / "second"
    names = [f"lib/modules/m{number}.ko" for number in range(40)]
    _plant(first, names, touched_s=1_000_000_000)
    random.Random(7).shuffle(names)
    _plant(second, names, touched_s=1_600_000_000)

    one = build_image(SPEC, first, tmp_path / "one.img")
    two = build_image(SPEC, second, tmp_path / "two.img")

    assert one.sha256 == two.sha256 == sha256_of(two.path)


def test_an_ordinary_user_builds_the_same_bytes(tmp_path: Path) -> None:
    mine = build_small_image(SPEC, tmp_path / "mine.img", system_bytes=4096)
    script = (
        "import sys; from pathlib import Path;"
        "from oleada_lab.firmware.image import ImageSpec, build_small_image;"
        "print(build_small_image(ImageSpec('VX-410', '5.8.2'), Path(sys.argv[1]),"
        " system_bytes=4096).sha256)"
    )

    # Not in tmp_path: pytest keeps that from other users.
    with tempfile.TemporaryDirectory(prefix="oleada-other-user-") as folder:
        Path(folder).chmod(0o777)
        said = subprocess.run(
            [*_as_ordinary_user(), sys.executable, "-B", "-c", script, f"{folder}/theirs.img"],
            env={**os.environ, "TZ": "Pacific/Auckland", "TMPDIR": folder, "HOME": folder},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert said.strip() == mine.sha256


def test_an_image_is_a_clean_file_system_that_names_itself(tmp_path: Path) -> None:
    built = build_small_image(
        ImageSpec("VX-240", "1.1.0", security_version=3, behaviour="unhealthy"),
        tmp_path / "image",
        system_bytes=4096,
    )

    checked = subprocess.run(
        ["e2fsck", "-f", "-n", str(built.path)], capture_output=True, text=True, check=False
    )
    header = check_file(built.path)

    assert checked.returncode == 0, checked.stdout
    assert (header.hardware_model, header.version) == ("VX-240", "1.1.0")
    assert header.image_bytes == built.size_bytes == built.path.stat().st_size


def test_two_versions_differ(tmp_path: Path) -> None:
    old = build_small_image(ImageSpec("VX-410", "1.0.0"), tmp_path / "old", system_bytes=4096)
    new = build_small_image(ImageSpec("VX-410", "1.1.0"), tmp_path / "new", system_bytes=4096)

    assert old.sha256 != new.sha256


def test_a_failed_build_leaves_the_old_image_and_no_rest(tmp_path: Path) -> None:
    out = tmp_path / "image.img"
    out.write_bytes(b"the old one")
    tree = tmp_path / "tree"
    _plant(tree, ['strange"name'], touched_s=0)

    with pytest.raises(ImageError, match="rename it"):
        build_image(SPEC, tree, out)

    assert out.read_bytes() == b"the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.img", "tree"]


def test_an_unknown_behaviour_is_refused() -> None:
    with pytest.raises(ImageError, match="'sleepy' is not known; write one of good"):
        ImageSpec("VX-410", "1.0.0", behaviour="sleepy")


def test_the_agent_in_an_image_knows_which_image_it_is_part_of(tmp_path: Path) -> None:
    pyz = build_zipapp(tmp_path / "agent.pyz", hardware_model="VX-410", version="5.8.2")
    script = "import sys; sys.path.insert(0, sys.argv[1]);"
    script += "from oleada_agent import _image; print(_image.IMAGE, _image.__file__)"

    said = subprocess.run(
        [sys.executable, "-I", "-c", script, str(pyz)], capture_output=True, text=True, check=True
    ).stdout

    assert said.split() == ["VX-410/5.8.2", f"{pyz}/oleada_agent/_image.py"]


def test_the_agent_in_an_image_holds_the_agent_and_the_wire_only(tmp_path: Path) -> None:
    pyz = build_zipapp(tmp_path / "agent.pyz", hardware_model="VX-410", version="5.8.2")

    with zipfile.ZipFile(pyz) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}

    assert tops == {"__main__.py", "oleada_agent", "oleada_wire"}


def test_the_agent_in_an_image_has_every_line_where_it_was_and_no_docstring() -> None:
    sources = sorted(Path(oleada_agent.__path__[0]).rglob("*.py"))
    kept = 0

    for path in sources:
        before = path.read_bytes()
        after = without_docstrings(before)
        kept += sum(len(text or "") for text in _docstrings(ast.parse(after)))
        assert _without_places_of_docstrings(after) == _without_places_of_docstrings(before), path

    assert len(sources) > 50
    assert kept < 300  # a letter for each class


def _docstrings(tree: ast.Module) -> list[str | None]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [ast.get_docstring(n, clean=False) for n in ast.walk(tree) if isinstance(n, kinds)]


def _without_places_of_docstrings(source: bytes) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                node.end_lineno = node.end_col_offset = 0  # of one that is nothing else
    return ast.dump(tree, include_attributes=True)


def _plant(tree: Path, names: list[str], *, touched_s: int) -> None:
    for name in names:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(name).randbytes(9000))
        os.utime(path, (touched_s, touched_s))
    (tree / "init").symlink_to("/bin/busybox")


def _as_ordinary_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
