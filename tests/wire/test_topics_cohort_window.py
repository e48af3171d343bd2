"""Topics, cohorts, windows, versions and strict JSON."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from oleada_wire import canonical, cohort, merkle, topics
from oleada_wire.errors import MalformedMessageError, UnknownTopicError, WireError
from oleada_wire.ids import is_device_id, is_hardware_model, normalise_device_id
from oleada_wire.messages import Window
from oleada_wire.topics import DeviceTopic, Down, Model, ModelTopic, Up
from oleada_wire.version import is_version, version_key
from oleada_wire.window import is_open, next_opening

BOX = "VX417Q3K0928"
MADRID = ZoneInfo("Europe/Madrid")


def test_every_topic_that_is_built_is_parsed_to_the_same() -> None:
    for up in Up:
        assert topics.parse(topics.up(BOX, up)) == DeviceTopic(BOX, up)
    for down in Down:
        assert topics.parse(topics.down(BOX, down)) == DeviceTopic(BOX, down)
    for kind in Model:
        assert topics.parse(topics.model("VX-410", kind)) == ModelTopic("VX-410", kind)


@pytest.mark.parametrize(
    "topic",
    [
        "", "/", "oleada", "oleada/v2/d/VX417Q3K0928/up/hello", "oleada/v1/d//up/hello",
        "oleada/v1/d/+/up/hello", "oleada/v1/d/VX417Q3K0928/up/#",
        "oleada/v1/d/vx417q3k0928/up/hello",
        "oleada/v1/d/VX417Q3K0928/up/assign", "oleada/v1/d/VX417Q3K0928/down/hello",
        "oleada/v1/d/VX417Q3K0928/up/hello/x", "oleada/v1/d/VX417Q3K0928/sideways/hello",
        "oleada/v1/m/VX-410/hello", "oleada/v1/m/VX-410", "oleada/v1/m/-VX/meta",
        "oleada/v1/d/" + "A" * 21 + "/up/hello", "$SYS/broker",
        "oleada/v1/d/VX417Q3K0928/up/" + "x" * 200,
    ],
)  # fmt: skip
def test_a_topic_outside_the_table_is_refused(topic: str) -> None:
    with pytest.raises(UnknownTopicError, match="not in the table"):
        topics.parse(topic)


def test_a_device_id_is_read_as_people_say_it() -> None:
    assert normalise_device_id("vx41-7q3k o928") == BOX
    assert not is_device_id("VX41-7Q3K-0928")
    assert not any(is_hardware_model(name) for name in ("", "A", "-A", "A-", "vx", "A" * 33))


def test_a_share_is_spread_evenly_and_grows_without_losing_anybody() -> None:
    places = [cohort.place("salt", f"VX{number:08d}") for number in range(20_000)]

    for share_parts in (500, 5_000):
        share = sum(place < share_parts for place in places) / len(places)
        assert abs(share - share_parts / cohort.SHARE_PARTS) < 0.01
    assert 0 <= min(places) <= max(places) < cohort.SHARE_PARTS
    assert cohort.place("other", BOX) != cohort.place("salt", BOX)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 33])
def test_each_member_of_a_list_and_nobody_else_is_covered(size: int) -> None:
    boxes = [f"VX{number:08d}" for number in range(size)]
    root = cohort.merkle_root(boxes)

    for box in boxes:
        proof = cohort.merkle_proof(boxes, box)
        assert cohort.merkle_covers(root, box, proof)
        assert not cohort.merkle_covers(root, "VX99999999", proof)
        if proof:
            assert not cohort.merkle_covers(root, box, proof[1:])
            assert not cohort.merkle_covers(root, box, [*proof, proof[0]])


def test_an_inner_node_does_not_pass_for_a_box() -> None:
    boxes = ["VX00000000", "VX00000001"]
    inner = (merkle.leaf(boxes[0].encode()) + merkle.leaf(boxes[1].encode())).hex()

    assert not cohort.merkle_covers(cohort.merkle_root(boxes), inner, [])


@pytest.mark.parametrize("proof", [["x"], [""], ["Lzz"], ["L" + "0" * 63], ["R" * 65] * 100])
def test_a_nonsense_proof_covers_nobody(proof: list[str]) -> None:
    assert not cohort.merkle_covers("0" * 64, BOX, proof)


def test_an_empty_list_and_a_stranger_have_no_tree() -> None:
    with pytest.raises(ValueError, match="at least one"):
        cohort.merkle_root([])
    with pytest.raises(ValueError, match="VX00000009"):
        cohort.merkle_proof(["VX00000001"], "VX00000009")


@pytest.mark.parametrize(
    ("hour", "minute", "open_"),
    [(22, 59, False), (23, 0, True), (23, 59, True), (0, 0, True), (4, 59, True), (5, 0, False)],
)
def test_a_window_over_midnight_is_open_on_both_sides_of_it(
    hour: int, minute: int, open_: bool
) -> None:
    local = datetime(2026, 1, 10, hour, minute, tzinfo=MADRID)

    assert is_open(Window(1380, 300), MADRID, local.astimezone(UTC)) is open_


def test_a_window_in_the_hour_that_is_skipped_opens_the_next_day() -> None:
    skipped = Window(125, 170)  # 02:05 to 02:50, which 29 March 2026 does not have
    evening = datetime(2026, 3, 28, 20, tzinfo=UTC)

    opening = next_opening(skipped, MADRID, evening + timedelta(hours=7))

    assert opening == datetime(2026, 3, 30, 0, 5, tzinfo=UTC)


def test_a_window_in_the_hour_that_comes_twice_is_open_both_times() -> None:
    window = Window(125, 170)
    first = datetime(2026, 10, 25, 0, 10, tzinfo=UTC)

    assert is_open(window, MADRID, first)
    assert is_open(window, MADRID, first + timedelta(hours=1))
    assert not is_open(window, MADRID, first + timedelta(hours=2))


def test_an_open_window_needs_no_waiting() -> None:
    now = datetime(2026, 1, 10, 23, 30, 12, tzinfo=UTC)

    assert next_opening(Window(0, 1), ZoneInfo("UTC"), now) == datetime(2026, 1, 11, tzinfo=UTC)
    assert next_opening(Window(1380, 300), ZoneInfo("UTC"), now) == now


def test_versions_are_compared_number_by_number() -> None:
    assert sorted(["5.10", "5.9.1", "5.8.2", "5.9"], key=version_key) == [
        "5.8.2", "5.9", "5.9.1", "5.10",
    ]  # fmt: skip
    assert version_key("5.8") == version_key("5.8.0")
    for text in ("", "5.", ".5", "5.08", "5.8-rc1", "v5", "1.2.3.4.5", "1234567", "\u0665"):
        assert not is_version(text)
        with pytest.raises(ValueError, match="is not a version"):
            version_key(text)


@pytest.mark.parametrize(
    "text",
    [b"", b"1", b"[]", b'"x"', b"null", b'{"a":1.0}', b'{"a":NaN}', b'{"a":Infinity}',
     b'{"a":1e3}', b'{"a":1,"a":1}', b'{"a":99999999999999999999}', b"\xff", b'{"a":1}x',
     b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", b"[" * 100_000],
)  # fmt: skip
def test_json_that_two_readers_could_read_differently_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        canonical.loads(text, "log", 1 << 20)


def test_json_has_one_spelling() -> None:
    assert (
        canonical.dumps({"b": [True, None], "a": "ñ\n"}) == '{"a":"ñ\\n","b":[true,null]}'.encode()
    )
    with pytest.raises(TypeError, match="float"):
        canonical.dumps({"a": [{"b": 0.5}]})


@pytest.mark.parametrize("text", [b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'{"a":["x\\u0000y"]}'])
def test_text_that_is_not_unicode_is_refused(text: bytes) -> None:
    with pytest.raises(WireError, match="Unicode"):
        canonical.loads(text, "log", 100)


@pytest.mark.parametrize("text", [b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\\\u0000"}'])
def test_text_that_only_looks_odd_is_read(text: bytes) -> None:
    assert canonical.loads(text, "log", 100)["a"] in ("\U0001f600", "\\u0000")
