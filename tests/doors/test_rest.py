"""Bad input at the REST door: every route, every field of its schema, everything around it.

The rows are read from the code, so that a new door is swept without being named; one
without a good request to begin with fails the first test (tests/support/rest_doors.py).
"""

import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from werkzeug.test import TestResponse

from tests.doors.conftest import World
from tests.support.bad_input import (
    ADDRESSES,
    BAD_BYTES,
    FEW,
    HEADERS,
    IS_WHOLE,
    METHODS,
    NO_OBJECT,
    NOT_JSON,
    RANGES,
    RAW_JSON,
    TEXTS,
    some,
    with_raw,
    without,
    wrong_with,
)
from tests.support.bad_input import QUERIES as QUERY_STRINGS
from tests.support.rest_doors import (
    BODIES,
    PLACES,
    QUERIES,
    Door,
    doors_of,
    leaves_of,
    must_refuse,
    worth_asking,
)

BUNDLE = "application/vnd.oleada.bundle"
BOMBS = {
    "a bomb": gzip.compress(b"a" * 20 * 1024 * 1024, 9),
    "good JSON": gzip.compress(b'{"reason": "a reason"}'),
    "a cut": gzip.compress(b"{}")[:-5],
}
LENGTHS: dict[str, dict[str, Any]] = {
    "absent": {"CONTENT_LENGTH": ""},
    "longer than the body": {"CONTENT_LENGTH": "5000000"},
    "shorter than the body": {"CONTENT_LENGTH": "3"},
    "zero": {"CONTENT_LENGTH": "0"},
    "negative": {"CONTENT_LENGTH": "-1"},
    "a word": {"CONTENT_LENGTH": "long"},
    "2^64": {"CONTENT_LENGTH": str(2**64)},
}


class Sweep:
    """Asks, looks at each answer and keeps what is wrong."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._client = world.rest()
        self.asked = 0
        self.wrong: list[str] = []

    def ask(
        self, said: str, method: str, path: str, *, refused: bool = False, **request: Any
    ) -> TestResponse:
        """Ask, and note what is wrong with the answer; *refused*: it may not be accepted."""
        answer = self._client.open(path, method=method, buffered=True, **request)
        self.asked += 1
        wrong = wrong_with(self._world.watch, answer)
        if wrong is None and refused and answer.status_code < 400:
            wrong = f"accepted with {answer.status_code}"
        if wrong is not None:
            self.wrong.append(f"{method} {path[:80]} {said}: {wrong}")
        return answer


@pytest.fixture
def sweep(world: World, request: pytest.FixtureRequest) -> Iterator[Sweep]:
    """A sweep whose cases are counted, and that leaves neither rows nor files behind."""
    files = world.files()
    found = Sweep(world)
    yield found
    request.node.user_properties.append(("cases", found.asked))
    assert world.files() == files


def _body(world: World, door: Door) -> Any:
    assert door.body is not None
    return world.enrol if door.body.__name__ == "EnrolRequest" else BODIES[door.body.__name__]


def test_every_door_has_a_good_request(world: World) -> None:
    missing = []
    for door in doors_of(world.app):
        missing += [f"PLACES[{name!r}]" for name in door.places if name not in PLACES]
        if door.body and door.body.__name__ not in {"EnrolRequest", *BODIES}:
            missing.append(f"BODIES[{door.body.__name__!r}]")
        if door.query and door.query.__name__ not in QUERIES:
            missing.append(f"QUERIES[{door.query.__name__!r}]")

    assert missing == [], "a door without a row: add it at the top of this file"


def test_the_good_requests_are_understood(world: World) -> None:
    client, wrong = world.rest(), []
    for door in doors_of(world.app):
        request: dict[str, Any] = (
            {"query_string": QUERIES[door.query.__name__]} if door.query else {}
        )
        if door.body:
            request["json"] = _body(world, door)
        elif door.method == "POST":
            request |= {"data": world.bundle, "content_type": BUNDLE}
        status = client.open(door.path(), method=door.method, **request).status_code
        world.watch.restore()
        if status in {400, 405, 413, 415, 422} or status >= 500:
            wrong.append((door.method, door.rule, status))

    assert wrong == []


def test_a_field_that_is_not_what_was_expected_is_refused(world: World, sweep: Sweep) -> None:
    """``OLEADA_WHOLE_SWEEP=1`` asks every field of every door everything."""
    known, kinds = set(), Counter[type]()
    for door in doors_of(world.app):
        if door.body is None:
            continue
        good, path = _body(world, door), door.path()
        for place, shape in leaves_of(door.body(), good):
            field = (door.body, *(step for step in place if isinstance(step, str)), type(shape))
            names = some(kinds[type(shape)]) if kinds[type(shape)] else RAW_JSON
            for name in worth_asking(shape, FEW if field in known and not IS_WHOLE else names):
                sweep.ask(
                    f"{place} is {name}", door.method, path, refused=must_refuse(shape, name),
                    data=with_raw(good, place, RAW_JSON[name]), content_type="application/json",
                )  # fmt: skip
            known.add(field)
            kinds[type(shape)] += 1

    assert sweep.wrong == []


def test_a_field_that_is_missing_or_unknown_is_refused_by_its_name(
    world: World, sweep: Sweep
) -> None:
    for door in doors_of(world.app):
        if door.body is None:
            continue
        good, path = _body(world, door), door.path()
        for place, shape in leaves_of(door.body(), good):
            if not _stands_in(good, place):
                continue
            answer = sweep.ask(f"without {place}", door.method, path,
                               refused=shape.required, json=without(good, place))  # fmt: skip
            if shape.required and str(place[-1]) not in answer.text:
                sweep.wrong.append(f"{path} without {place} does not name it: {answer.text}")
        for name in ("no_such_field", "", "__class__", "a" * 1000, "\u202e"):
            sweep.ask(f"with {name[:20]!r}", door.method, path, refused=True,
                      json={**good, name: 1})  # fmt: skip

    assert sweep.wrong == []


def test_a_body_that_is_no_object_of_json_is_refused(world: World, sweep: Sweep) -> None:
    for door in doors_of(world.app):
        if door.body is None:
            continue
        good, path = json.dumps(_body(world, door)).encode(), door.path()
        for name, data in NOT_JSON.items():
            sweep.ask(f"body {name}", door.method, path, data=data, refused=_has_required(door),
                      content_type="application/json")  # fmt: skip
        for name, data in NO_OBJECT.items():
            sweep.ask(f"body {name}", door.method, path, data=data, refused=_has_required(door),
                      content_type="application/json")  # fmt: skip
        for cut in range(0, len(good), max(1, len(good) // 20)):
            sweep.ask(f"cut at {cut}", door.method, path, data=good[:cut],
                      refused=_has_required(door), content_type="application/json")  # fmt: skip

    assert sweep.wrong == []


def test_a_body_that_is_not_sent_as_it_should_be_is_refused(world: World, sweep: Sweep) -> None:
    for door in doors_of(world.app):
        if door.body is None:
            continue
        good, path = json.dumps(_body(world, door)).encode(), door.path()
        for content_type in ("text/plain", "", "application/x-www-form-urlencoded", "multipart/",
                             "multipart/form-data", "application/json;charset=utf-16", "*/*",
                             "application/xml", "application/jsonn", "\u00ff/\u00ff"):  # fmt: skip
            is_json = content_type.startswith("application/json;")
            sweep.ask(f"as {content_type!r}", door.method, path, data=good,
                      refused=_has_required(door) and not is_json,
                      content_type=content_type)  # fmt: skip
        for name, body in BOMBS.items():
            sweep.ask(f"{name} in gzip", door.method, path, data=body,
                      refused=_has_required(door), content_type="application/json",
                      headers={"Content-Encoding": "gzip"})  # fmt: skip
        for name, environ in LENGTHS.items():
            sweep.ask(f"length {name}", door.method, path, content_type="application/json",
                      refused=_has_required(door), input_stream=io.BytesIO(good),
                      environ_overrides=environ)  # fmt: skip

    assert sweep.wrong == []


def test_keys_that_come_twice_are_read_once_or_refused(world: World, sweep: Sweep) -> None:
    for door in doors_of(world.app):
        if door.body is None:
            continue
        good = json.dumps(_body(world, door))
        twice = good[:-1] + ", " + good[1:]
        contrary = good[:-1] + "".join(f", {json.dumps(k)}: null" for k in json.loads(good)) + "}"
        sweep.ask("everything twice", door.method, door.path(), data=twice,
                  content_type="application/json")  # fmt: skip
        sweep.ask("twice, then null", door.method, door.path(), data=contrary,
                  refused=_has_required(door), content_type="application/json")  # fmt: skip

    assert sweep.wrong == []


def test_a_query_that_is_not_what_was_expected_is_refused(world: World, sweep: Sweep) -> None:
    for door in doors_of(world.app):
        if door.method != "GET":
            continue
        for name, query in QUERY_STRINGS.items():
            sweep.ask(f"?{name}", door.method, door.path(), query_string=query)
        if door.query is None:
            continue
        good = QUERIES[door.query.__name__]
        for field in door.query().fields:
            texts = {name: quote(text, errors="surrogatepass") for name, text in TEXTS.items()}
            texts |= {name: quote_from_bytes(data) for name, data in BAD_BYTES.items()}
            for name, text in texts.items():
                rest = "&".join(f"{k}={quote(v)}" for k, v in good.items() if k != field)
                sweep.ask(f"?{field} is {name}", door.method, door.path(),
                          query_string=f"{field}={text}&{rest}")  # fmt: skip
            sweep.ask(f"?{field} twice", door.method, door.path(),
                      query_string=f"{field}=a&{field}=b&{field}")  # fmt: skip

    assert sweep.wrong == []


def test_an_address_that_names_nothing_is_refused(world: World, sweep: Sweep) -> None:
    for door in doors_of(world.app):
        request: dict[str, Any] = {}
        if door.method == "POST":
            request = {"json": _body(world, door)} if door.body else {"data": b"x"}
        for place in door.places:
            for name, text in ADDRESSES.items():
                sweep.ask(f"{place} is {name}", door.method, door.path(**{place: text}),
                          refused=name != "empty", **request)  # fmt: skip

    assert sweep.wrong == []


def test_headers_that_are_not_what_was_expected_do_no_harm(world: World, sweep: Sweep) -> None:
    asked = set()
    for door in doors_of(world.app):
        if (feature := (door.method, *door.rule.split("/")[:4])) in asked:
            continue
        asked.add(feature)
        request = {"json": _body(world, door)} if door.body else {}
        for name, headers in HEADERS.items():
            sweep.ask(name, door.method, door.path(), headers=headers, **request)

    assert sweep.wrong == []


def test_a_method_that_no_door_knows_is_refused(world: World, sweep: Sweep) -> None:
    for path in sorted({door.path() for door in doors_of(world.app)}):
        for method in METHODS:
            sweep.ask("odd method", method, path, refused=True)

    assert sweep.wrong == []


def test_a_range_that_can_not_be_read_never_gives_wrong_bytes(world: World, sweep: Sweep) -> None:
    path = f"/artifacts/{world.sha256}"
    whole = world.rest().get(path, buffered=True).data
    assert len(whole) == 160_000

    for name, (asked, may_be_whole) in RANGES.items():
        answer = sweep.ask(name, "GET", path, headers={"Range": asked})
        if answer.status_code == 200:
            assert may_be_whole, name
            assert answer.data == whole, name
        elif answer.status_code == 206:
            first, _, rest = answer.headers["Content-Range"].removeprefix("bytes ").partition("-")
            last = int(rest.partition("/")[0])
            assert answer.data == whole[int(first) : last + 1], name

    assert sweep.wrong == []


def test_a_bundle_that_is_none_is_refused_at_any_length(world: World, sweep: Sweep) -> None:
    paths = [door.path() for door in doors_of(world.app) if _takes_bundle(door)]
    size = len(world.bundle)
    cuts = [*range(0, 3000, 256), *range(3000, size - 1, size // 25), size - 1]
    for path in paths:
        for cut in cuts:
            sweep.ask(f"cut at {cut}", "POST", path, data=world.bundle[:cut], content_type=BUNDLE,
                      refused=cut < 2500 or not path.endswith("/check"))  # fmt: skip
        for at in range(0, 3000, 100):
            hurt = bytearray(world.bundle)
            hurt[at] ^= 0x55
            sweep.ask(f"hurt at {at}", "POST", path, data=bytes(hurt), content_type=BUNDLE)
        for name, data in NOT_JSON.items():
            sweep.ask(name, "POST", path, data=data, content_type=BUNDLE, refused=True)
        for name, environ in LENGTHS.items():
            sweep.ask(f"length {name}", "POST", path, content_type=BUNDLE,
                      refused=not path.endswith("/check"),
                      input_stream=io.BytesIO(world.bundle[:-9]),
                      environ_overrides=environ)  # fmt: skip

    assert len(paths) == 2
    assert sweep.wrong == []


def _takes_bundle(door: Door) -> bool:
    return door.method == "POST" and door.body is None and "/releases" in door.rule


def _stands_in(body: Any, place: tuple[str | int, ...]) -> bool:
    for step in place[:-1]:
        body = body[step]
    return isinstance(place[-1], str) and place[-1] in body


def _has_required(door: Door) -> bool:
    return door.body is not None and any(one.required for one in door.body().fields.values())
