"""What nobody should send, and what becomes of a door that gets it.

One corpus for every door: values for a field as raw JSON, texts for a form, an address,
a header or an option. A door that refuses must leave the database as it was, log no
traceback and say a sentence; :class:`Watch` looks at all three.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from werkzeug.test import TestResponse

MIB: Final = 1024 * 1024
DEEP: Final = 100_000

RAW_JSON: Final[dict[str, str]] = {
    "null": "null",
    "true": "true",
    "zero": "0",
    "negative": "-1",
    "fraction": "1.5",
    "2^31": str(2**31),
    "2^63": str(2**63),
    "2^64": str(2**64),
    "beyond any float": "1e400",
    "5000 digits": "9" * 5000,
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "empty text": '""',
    "blanks": '"   "',
    "word": '"a-word-that-nothing-is-called"',
    "number as text": '"7"',
    "NUL": '"a\\u0000b"',
    "half a character": '"\\ud800"',
    "control characters": '"\\u001b[31m\\u0007\\r\\n"',
    "right to left": '"\\u202egnitset\\u202c \\u05e9\\u05dc\\u05d5\\u05dd"',
    "combining": json.dumps("Z" + "\u0351" * 300),
    "markup": '"<script>alert(1)</script>"',
    "quotes": '"\'; DROP TABLE device; --"',
    "template": '"{{7*7}} ${7*7} %s %(x)s {0}"',
    "path": '"../../../../etc/passwd"',
    "10 000 characters": json.dumps("a" * 10_000),
    "1 MiB": json.dumps("a" * (MIB + 1)),
    "empty list": "[]",
    "list of null": "[null]",
    "list of lists": "[[[]]]",
    "list of numbers": "[1, 2]",
    "long list": json.dumps(["x"] * 20_000),
    "empty object": "{}",
    "object": '{"a": 1}',
    "duplicate keys": '{"name": "a", "name": "b"}',
    "deep list": "[" * DEEP + "]" * DEEP,
}
"""By name: what stands where the value of a field belongs."""

FEW: Final = ("null", "true", "2^63", "empty text", "NUL", "half a character", "right to left",
              "10 000 characters", "empty list", "object")  # fmt: skip
"""Names of :data:`RAW_JSON` for a shape that another door has been asked all of."""
IS_WHOLE: Final = bool(os.environ.get("OLEADA_WHOLE_SWEEP"))
"""Whether every field is asked every value; otherwise the first field of each kind is."""


def some(turn: int) -> list[str]:
    """Return :data:`FEW` and a third of the other names of :data:`RAW_JSON`.

    Another third each *turn*: three fields of one kind are asked everything between them.
    """
    others = [name for name in RAW_JSON if name not in FEW]
    return list(RAW_JSON) if IS_WHOLE else [*FEW, *others[turn % 3 :: 3]]


TEXTS: Final[dict[str, str]] = {
    name: json.loads(raw) for name, raw in RAW_JSON.items() if raw[0] == '"' and len(raw) < MIB
} | {
    "minus one": "-1",
    "a fraction": "1.5",
    "2^31 as text": str(2**31),
    "2^63 as text": str(2**63),
    "NaN as text": "NaN",
    "many digits": "9" * 400,
    "other digits": "\u0661\u0662\u0663",
    "superscript": "\u00b2",
    "comma": "1,5",
    "list of commas": "," * 500,
    "date of no calendar": "0001-01-01T00:00:00+23:59",
    "date beyond": "9999-12-31T23:59",
    "rollout that is none": "R-999999999999",
}
"""By name: what stands where a text from a person belongs."""

BAD_BYTES: Final[dict[str, bytes]] = {
    "invalid UTF-8": b"\xff\xfe\xfa",
    "UTF-8 of a surrogate": b"\xed\xa0\x80",
    "overlong slash": b"\xc0\xaf",
    "cut character": b"abc\xe2\x82",
}

NOT_JSON: Final[dict[str, bytes]] = {
    "nothing": b"",
    "blanks": b"  \n ",
    "a word": b"word",
    "single quotes": b"{'a': 1}",
    "open object": b'{"a":',
    "trailing comma": b'{"a": 1,}',
    "two values": b"{} {}",
    "invalid UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NUL bytes": b"\x00" * 64,
    "deep lists": b"[" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "5000 digits": b'{"a": ' + b"1" * 5000 + b"}",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\x00" * 40,
}
"""By name: bodies that are no JSON object, or none that may be read."""

ADDRESSES: Final[dict[str, str]] = {
    "empty": "",
    "NUL": "%00",
    "a NUL within": "a%00b",
    "a new line": "a%0d%0aX-Header:%201",
    "parent": "..",
    "quoted parent": "%2e%2e",
    "quoted slashes": "..%2f..%2f..%2fetc%2fpasswd",
    "twice quoted": "%252e%252e%252fetc%252fpasswd",
    "backslashes": "..%5c..%5coleada.db",
    "absolute": "%2fetc%2fpasswd",
    "tilde": "~root",
    "half a quote": "%",
    "wrong quote": "%zz",
    "invalid UTF-8": "%ff%fe",
    "a surrogate": "%ed%a0%80",
    "overlong slash": "%c0%af",
    "right to left": "%e2%80%ae",
    "other digits": "R-%d9%a1",
    "negative": "-1",
    "R-negative": "R--1",
    "2^31": str(2**31),
    "2^63": str(2**63),
    "R-2^63": f"R-{2**63}",
    "hex": "0x7",
    "a fraction": "1.5",
    "10 000 characters": "a" * 10_000,
    "long digits": "9" * 5000,
    "a semicolon": "a;b=c",
    "an at sign": "user@host",
    "a star": "*",
    "quotes": "'%20OR%201=1--",
    "a template": "%7b%7b7*7%7d%7d",
}
"""By name: what stands, quoted, at a place of an address."""

QUERIES: Final[dict[str, str]] = {
    "unknown name": "no_such_field=1",
    "no name": "=1",
    "only ampersands": "&&&&&",
    "NUL name": "%00=1",
    "invalid UTF-8": "%ff=%fe",
    "a thousand fields": "&".join(f"f{n}={n}" for n in range(1000)),
    "huge": "x=" + "a" * 100_000,
    "brackets": "a[]=1&a[b]=2",
    "semicolons": "a=1;b=2",
}
"""By name: whole query strings."""

HEADERS: Final[dict[str, dict[str, str]]] = {
    "no kind of authorization": {"Authorization": "Nothing"},
    "an empty bearer": {"Authorization": "Bearer "},
    "a long bearer": {"Authorization": "Bearer " + "a" * 10_000},
    "a bearer with NUL": {"Authorization": "Bearer a\0b"},
    "a bearer that is no ASCII": {"Authorization": "Bearer \u00ff\u00fe"},
    "basic that is no base64": {"Authorization": "Basic !!!"},
    "digest without fields": {"Authorization": "Digest"},
    "broken cookie": {"Cookie": "oleada_session=;;;=;\u00ff; oleada_form=x.y.z"},
    "long cookie": {"Cookie": "oleada_session=" + "a" * 10_000},
    "cookie of another language": {"Cookie": "oleada_language=xx; oleada_theme=<b>"},
    "accepts nothing": {"Accept": "nothing/at;all;;q=x"},
    "languages that are none": {"Accept-Language": "xx-;q=NaN, *;q=-1, \u00ff"},
    "long languages": {"Accept-Language": "en," * 2000},
    "a host that is none": {"Host": "bad host:port:80"},
    "an empty host": {"Host": ""},
    "forwarded": {"X-Forwarded-For": "\u00ff", "X-Forwarded-Proto": "gopher", "Forwarded": ";;="},
    "a date that is none": {"If-Modified-Since": "yesterday", "If-Range": "tomorrow"},
    "tags that are none": {"If-None-Match": '"""', "If-Match": "W/W/"},
    "an empty key of once": {"Idempotency-Key": ""},
    "a long key of once": {"Idempotency-Key": "k" * 81},
    "a key of once with a bell": {"Idempotency-Key": "k\u0007"},
    "a key of once that is no ASCII": {"Idempotency-Key": "\u00ff\u00fe"},
    "an id of an event that is none": {"Last-Event-ID": "-1"},
    "an id of an event beyond": {"Last-Event-ID": str(2**64)},
    "a method in a header": {"X-HTTP-Method-Override": "DELETE"},
    "the referrer of nobody": {"Referer": "http://[::1", "Origin": "null"},
}
"""By name: headers that a request comes with."""

RANGES: Final[dict[str, tuple[str, bool]]] = {
    "nothing": ("", True),
    "a word": ("bytes", True),
    "no numbers": ("bytes=", True),
    "only a dash": ("bytes=-", True),
    "letters": ("bytes=a-b", True),
    "backwards": ("bytes=10-5", True),
    "negative": ("bytes=--5", True),
    "the last none": ("bytes=-0", True),
    "more than all": ("bytes=-99999999999999999999", True),
    "behind the end": ("bytes=99999999999-", True),
    "2^64": (f"bytes={2**64}-{2**64 + 1}", True),
    "other unit": ("pages=1-2", True),
    "fraction": ("bytes=1.5-2", True),
    "many": ("bytes=" + ",".join(f"{n}-{n}" for n in range(500)), True),
    "overlapping": ("bytes=0-10,5-15", True),
    "5000 digits": ("bytes=" + "9" * 5000 + "-", True),
    "other digits": ("bytes=\u0661-", True),
    "the first": ("bytes=0-0", False),
    "from the middle": ("bytes=1000-", False),
    "the last five": ("bytes=-5", False),
    "beyond the end": ("bytes=0-99999999999", False),
}
"""By name: a Range, and whether the whole file or a refusal may answer it."""

METHODS: Final = ("DELETE", "PUT", "PATCH", "TRACE", "CONNECT", "PROPFIND", "\u00ff", "G" * 500)

NO_OBJECT: Final[dict[str, bytes]] = {
    "null": b"null",
    "a list": b"[]",
    "a text": b'"text"',
    "a number": b"7",
    "true": b"true",
}

_MARK: Final = "\ue000here\ue000"


def with_raw(body: Any, path: tuple[str | int, ...], raw: str) -> bytes:
    """Return *body* as JSON in which *raw* stands at *path*, whatever *raw* is."""
    return _set(body, path).encode().replace(json.dumps(_MARK).encode(), raw.encode(), 1)


def _set(body: Any, path: tuple[str | int, ...]) -> str:
    copied = json.loads(json.dumps(body))
    place = copied
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = _MARK
    return json.dumps(copied)


def without(body: Any, path: tuple[str | int, ...]) -> Any:
    """Return a copy of *body* that lacks what stands at *path*."""
    copied = json.loads(json.dumps(body))
    place = copied
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return copied


@dataclass
class Tracebacks(logging.Handler):
    """Keeps every record that carries a traceback or says that something of ours broke."""

    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(logging.NOTSET)

    def __hash__(self) -> int:
        return id(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep *record* if it is one that nobody should see for bad input."""
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(self.format(record))


class Watch:
    """Tells whether anything was written or broke since it was last asked.

    *database* is an SQLite file; whatever was committed is undone by :meth:`restore`.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._pristine = sqlite3.connect(":memory:", check_same_thread=False)
        self._eye = sqlite3.connect(database, check_same_thread=False)
        self._eye.backup(self._pristine)
        self._seen = self._version()
        self.tracebacks = Tracebacks()

    def _version(self) -> int:
        return int(self._eye.execute("PRAGMA data_version").fetchone()[0])

    def has_written(self) -> bool:
        """Return whether a transaction was committed since :meth:`restore`."""
        return self._version() != self._seen

    def restore(self) -> None:
        """Make the database what it was at first; forget what was logged."""
        if self.has_written():
            with closing(sqlite3.connect(self._database)) as target:
                self._pristine.backup(target)
            self._seen = self._version()
        self.tracebacks.found.clear()

    def keep(self) -> None:
        """Take the database as it is now for what :meth:`restore` brings back."""
        self._eye.backup(self._pristine)
        self._seen = self._version()
        self.tracebacks.found.clear()

    def close(self) -> None:
        """Let go of the database."""
        self._eye.close()
        self._pristine.close()


@contextmanager
def watching(database: Path) -> Iterator[Watch]:
    """Yield a watch over *database* that hears every log."""
    watch = Watch(database)
    root = logging.getLogger()
    root.addHandler(watch.tracebacks)
    try:
        yield watch
    finally:
        root.removeHandler(watch.tracebacks)
        watch.close()


def wrong_with(watch: Watch, answer: TestResponse) -> str | None:
    """Return what is wrong with an answer of a machine's door to bad input, None if nothing.

    An answer below 400 says that the door found the input good: that is for the caller to
    judge. Whatever it wrote is undone.
    """
    status, changed = answer.status_code, watch.has_written()
    broken = list(watch.tracebacks.found)
    watch.restore()
    if broken:
        return f"{status}, logged {broken[0][-300:]}"
    if status < 400:
        return None
    if changed:
        return f"{status}, but something was written"
    return _wrong_problem(status, answer)


def _wrong_problem(status: int, answer: TestResponse) -> str | None:
    if status >= 500:
        return f"{status}: {answer.text[:200]}"
    if answer.request.method == "HEAD":
        return None
    if answer.mimetype != "application/problem+json":
        return f"{status} is {answer.mimetype}: {answer.text[:200]}"
    found = answer.get_json()
    if not (found["code"] and found["status"] == status and len(found["detail"].split()) >= 3):
        return f"{status} says too little: {found}"
    return None
