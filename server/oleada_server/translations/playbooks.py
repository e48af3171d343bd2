"""Finds the texts of playbooks for the catalogues: they are data, and shown like code's."""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any, Final

SHOWN: Final = ("title", "next", "say", "asks")
"""Keys whose text people read; sources name standards and stay as they are."""
_LINE: Final = re.compile(rf'({"|".join(SHOWN)}) = (".*")')


def extract(
    file: IO[bytes],
    keywords: Mapping[str, Any],  # noqa: ARG001 - Babel calls every method alike
    comment_tags: Collection[str],  # noqa: ARG001
    options: Mapping[str, Any],  # noqa: ARG001
) -> Iterator[tuple[int, None, str, list[str]]]:
    """Yield line and text of every message in a playbook; the protocol is Babel's."""
    for number, line in enumerate(file.read().decode().splitlines(), 1):
        if found := _LINE.fullmatch(line.strip()):
            text: str = tomllib.loads(f"text = {found[2]}")["text"]
            yield number, None, text, []
