"""Strict JSON: one spelling for each value, and nothing ambiguous read.

Written canonically (keys sorted, no blanks, UTF-8) so that golden bytes and
signatures are stable. Read strictly: no floats, no duplicate keys, no NaN,
bounded size, because two readers that disagree about a signed text are a hole.
Source: RFC 8785 for the idea; integers only, so its number rules do not matter.
"""

import json
import re
from typing import Any, Final

from oleada_wire.errors import MalformedMessageError, MessageTooLargeError

JSON_DEPTH_MAX = 32
INTEGER_BITS_MAX = 63


def dumps(value: Any) -> bytes:
    """Return the one canonical spelling of *value* in UTF-8.

    Raises:
        TypeError: *value* holds something JSON has no word for, or a float.
    """
    _refuse_floats(value)
    return _ENCODER.encode(value).encode()


def loads(data: bytes, kind: str, size_bytes_max: int) -> dict[str, Any]:
    """Return the JSON object in *data*, at most *size_bytes_max* long.

    Raises:
        MessageTooLargeError: *data* is longer than the limit; nothing was parsed.
        MalformedMessageError: *data* is not one strict JSON object.
    """
    if len(data) > size_bytes_max:
        raise MessageTooLargeError(kind, len(data), size_bytes_max)
    decoder = _BOUNDING if _LONG_NUMBER in data.translate(_DIGITS_AS_0) else _STRICT
    try:
        value = decoder.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError(f"Message '{kind}' is not strict JSON: {error}.") from error
    if not isinstance(value, dict):
        raise MalformedMessageError(
            f"Message '{kind}' is a JSON {type(value).__name__}; an object was expected."
        )
    if data.count(b"{") + data.count(b"[") > JSON_DEPTH_MAX:  # it may nest too deep: look
        _bound_depth(value, kind)
    if b"\\u" in data and _ODD_TEXT.search(data) is not None:
        _refuse_odd_text(value, kind)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_float(text: str) -> Any:
    raise ValueError(f"{text} is not an integer")


def _bounded_int(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)).bit_length() > INTEGER_BITS_MAX:
        raise ValueError("an integer has more than 63 bits")
    return number


_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_no_float, parse_constant=_no_float
)
_BOUNDING: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=_no_float,
    parse_constant=_no_float,
    parse_int=_bounded_int,
)
_LONG_NUMBER: Final = b"0" * 19
_DIGITS_AS_0: Final = bytes.maketrans(b"123456789", b"000000000")
"""18 digits always fit into 63 bits; only where there are more are integers looked at."""


_ODD_TEXT: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""Escapes that may spell NUL, which no database keeps, or half a character."""


def _refuse_odd_text(value: Any, kind: str) -> None:
    text = json.dumps(value, ensure_ascii=False)
    if re.search("[\ud800-\udfff]", text) or "\\u0000" in text.replace("\\\\", ""):
        raise MalformedMessageError(f"Message '{kind}' holds text that is not Unicode, or NUL.")


def _bound_depth(value: Any, kind: str, depth: int = 0) -> None:
    if depth > JSON_DEPTH_MAX:
        raise MalformedMessageError(f"Message '{kind}' nests deeper than {JSON_DEPTH_MAX}.")
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list) else ():
        _bound_depth(child, kind, depth + 1)


_PLAIN: Final = frozenset({str, int, bool, type(None)})
_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float; the wire carries integers with a unit")
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, dict | list | tuple) else ():
        if type(child) not in _PLAIN:  # most are; a call for each would be most of the cost
            _refuse_floats(child)
