"""Release versions: dotted numbers, compared number by number.

``5.8.2`` < ``5.10.0``; missing parts are zero (``5.8`` = ``5.8.0``). No pre-release
tags: a release is signed and final, and what is not is not on the wire.
"""

import re
from typing import Final

VERSION_PATTERN: Final = re.compile(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){0,3}")


def is_version(text: str) -> bool:
    """Return whether *text* is one to four dotted numbers of at most six digits."""
    return VERSION_PATTERN.fullmatch(text) is not None


def version_key(text: str) -> tuple[int, int, int, int]:
    """Return a key that orders versions.

    Raises:
        ValueError: *text* is not a version.
    """
    if not is_version(text):
        raise ValueError(f"{text!r} is not a version; write one to four numbers, such as 5.8.2")
    parts = [int(part) for part in text.split(".")]
    return (*parts, 0, 0, 0, 0)[:4]  # type: ignore[return-value]
