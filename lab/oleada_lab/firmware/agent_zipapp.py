"""The agent as one file, ``/oleada/agent.pyz`` of an image: the same bytes every time.

Holds ``oleada_wire``, ``oleada_agent`` and a build file that names the image, so that a
running agent can say from which image it came. What the agent imports beyond the
standard library (paho-mqtt, cryptography) belongs to the system, not to this file.
Docstrings stay behind: they would lie in a box's memory for as long as it is on.
"""

import ast
import io
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import oleada_agent
import oleada_wire

EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The oldest time a zip can spell; a real one would make each build differ."""
_MAIN: Final = """\
import sys

from oleada_agent.start import main

sys.exit(main())
"""


def build_zipapp(
    out: Path, *, hardware_model: str, version: str, source: Path | None = None
) -> Path:
    """Write the agent of one image to *out* and return *out*.

    Args:
        out: The file to write; its folder exists.
        hardware_model: Of the image that will hold the file, such as ``VX-410``.
        version: Of the image that will hold the file, such as ``5.8.2``.
        source: The folder of both packages; those that run here if not given.
    """
    entries = {"__main__.py": _MAIN.encode()}
    for package in (oleada_agent, oleada_wire):
        name = package.__name__
        entries |= _files_of(name, source / name if source else Path(package.__path__[0]))
    build = f'"""Which image this agent is part of."""\n\nIMAGE = "{hardware_model}/{version}"\n'
    entries["oleada_agent/_image.py"] = build.encode()
    out.write_bytes(_zip(entries))
    return out


def _files_of(name: str, folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        f"{name}/{path.relative_to(folder).as_posix()}": without_docstrings(path.read_bytes())
        for path in found
        if path.suffix == ".py" or path.name == "py.typed"
    }


@cache  # a process that builds one image mostly builds another, of the same agent
def without_docstrings(source: bytes) -> bytes:
    """Return *source* with empty docstrings; every other line stays as it is and where it is.

    A class keeps one letter: a dataclass without a docstring makes itself a longer one.
    """
    lines = source.splitlines()
    for node in _with_bodies(ast.parse(source)):
        text = node.body[0] if node.body else None
        if not isinstance(text, ast.Expr) or ast.get_docstring(node, clean=False) is None:
            continue
        last = text.end_lineno or text.lineno
        empty = b'"-"' if isinstance(node, ast.ClassDef) else b'""'
        lines[text.lineno - 1] = lines[text.lineno - 1][: text.col_offset] + empty
        lines[text.lineno : last] = [b""] * (last - text.lineno)
    return b"\n".join([*lines, b""]) if lines else b""


def _with_bodies(
    node: ast.AST,
) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef]:
    """Yield *node* and whatever in it may begin with a docstring.

    Only statements hold statements, so expressions, most of a tree, are not looked into.
    """
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        yield node
    for name in node._fields:
        within = getattr(node, name)
        if isinstance(within, list):
            for one in within:
                if isinstance(one, ast.stmt | ast.excepthandler | ast.match_case):
                    yield from _with_bodies(one)


def _zip(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, whatever builds it
            entry.compress_type = zipfile.ZIP_STORED  # zlib's bytes change with its version
            archive.writestr(entry, entries[name])
    return buffer.getvalue()
