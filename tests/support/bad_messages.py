"""Bad messages of the wire: every prefix, every field missing or of another shape.

They are made from the golden bytes, so that a new kind or a new field is swept without
being named.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.bad_input import NO_OBJECT, NOT_JSON, RAW_JSON, with_raw, without

GOLDEN: Final = Path("tests/golden/wire")
VALUES: Final = (
    "null", "true", "zero", "negative", "fraction", "2^63", "5000 digits", "NaN", "empty text",
    "word", "NUL", "half a character", "control characters", "10 000 characters", "empty list",
    "list of null", "long list", "empty object", "object", "deep list",
)  # fmt: skip
WRONG_KIND: Final[dict[type, tuple[str, ...]]] = {
    str: ("true", "zero", "fraction", "empty list", "empty object", "NaN", "2^63", "deep list"),
    int: ("true", "fraction", "word", "empty text", "empty list", "empty object", "NaN",
          "5000 digits", "deep list"),
    bool: ("zero", "word", "empty list", "empty object", "NaN"),
    list: ("true", "zero", "word", "empty object", "object", "NaN"),
    dict: ("true", "zero", "word", "empty list", "list of null", "NaN"),
}  # fmt: skip
"""By the kind of a golden value: what may never stand in its place."""
FREE: Final = frozenset(("parameters", "arguments", "values", "changed"))
"""Fields whose entries may be numbers or texts as they like."""
VERSIONS: Final = ("0", "2", "-1", '"1"', "1.0", "true", "null", str(2**63), "[1]")
TOPICS: Final = (
    "", "/", "x", "oleada", "oleada/v1", "oleada/v1/", "oleada/v2/d/{id}/up/hello",
    "oleada/v1/d/{id}/up", "oleada/v1/d/{id}/up/", "oleada/v1/d/{id}/up/nothing",
    "oleada/v1/d/{id}/up/hello/more", "oleada/v1/d//up/hello", "oleada/v1/d/{id}/UP/hello",
    "oleada/v1/d/../up/hello", "oleada/v1/d/+/up/hello", "oleada/v1/d/#", "$SYS/broker/load",
    "oleada/v1/m/{model}", "oleada/v1/m//meta", "oleada/v1/m/{model}/nothing",
    "oleada/v1/m/{model}/meta/more", "oleada/v1/d/{id}/down/nothing", "\x00", "\ud800",
    "oleada/v1/d/{id}\n/up/hello", "oleada/v1/d/\u202e/up/hello", "a" * 65_000,
)  # fmt: skip


def golden(kind: str) -> bytes:
    """Return the golden bytes of plain *kind*."""
    return (GOLDEN / f"{kind}.v1.json").read_bytes()


def leaves(found: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield path and value of everything in *found* but the whole."""
    steps = found.items() if isinstance(found, dict) else enumerate(found)
    for step, value in steps:
        yield (*path, step), value
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, step))


def changed(good: Any) -> Iterator[tuple[str, bytes, bool]]:
    """Yield every message that is *good* but for one thing: what, bytes, and whether it is bad."""
    for path, value in leaves(good):
        is_free = not FREE.isdisjoint(path[:-1])
        never = () if is_free else WRONG_KIND[type(value)]
        for name in VALUES:
            yield f"{path} is {name}", with_raw(good, path, RAW_JSON[name]), name in never
        if isinstance(path[-1], str):
            yield f"without {path}", json.dumps(without(good, path)).encode(), path == ("v",)
    for version in VERSIONS:
        yield f"version {version}", with_raw(good, ("v",), version), True
    whole = json.dumps(good)
    yield "every key twice", (whole[:-1] + "," + whole[1:]).encode(), True
    yield "a field of tomorrow", json.dumps({**good, "tomorrow": 1}).encode(), False
    yield "blanks around", f"  {whole}\n".encode(), False


def unreadable(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what no message is: each prefix of *data*, and bytes that are none of ours."""
    for cut in range(1, len(data)):
        yield f"cut at {cut}", data[:cut]
    yield from NOT_JSON.items()
    yield from NO_OBJECT.items()
    yield "more behind", data + b"{}"
    yield "CBOR of a map", b"\xa2\x61v\x01\x62id\x78\x20" + b"a" * 32
    yield "1 MiB", data + b" " * (1 << 20)
