"""Every field of every message: missing, of a wrong type, huge, unknown."""

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from typing import Any, get_args, get_type_hints

import pytest
from oleada_wire import canonical, envelope, messages
from oleada_wire.errors import (
    MalformedMessageError,
    MessageTooLargeError,
    UnsupportedVersionError,
    WireError,
)
from oleada_wire.ids import BootId
from oleada_wire.messages import KINDS, SIGNED, Header, Message

from tests.wire.samples import SAMPLES, SIGNERS

ROLE = envelope.RoleKeys({one.keyid: one.key.public_key() for one in SIGNERS}, 1)
NONSENSE: dict[str, Any] = {"str": 1, "int": "1", "bool": 1, "BootId": "7", "dict": [], "tuple": {}}


def payload_of(kind: str) -> dict[str, Any]:
    message = SAMPLES[kind]
    data = messages.seal(message, [SIGNERS[0]]) if type(message) in SIGNED else b""
    if data:
        return envelope.open_sealed(kind, data, ROLE)
    found: dict[str, Any] = json.loads(messages.encode(message))
    return found


def read(kind: str, payload: dict[str, Any]) -> Message:
    shape = type(SAMPLES[kind])
    if shape in SIGNED:
        return messages.open_message(shape, envelope.seal(kind, payload, [SIGNERS[0]]), ROLE)
    return messages.decode(shape, canonical.dumps(payload), messages.DOWN_BYTES_MAX)


def every_field() -> Iterator[tuple[str, str, type, bool]]:
    """Yield kind, field, the shape that owns it, and whether it must be there."""
    for shape, kind in KINDS.items():
        for owner in (Header, shape):
            hints = get_type_hints(owner)
            for field in fields(owner):
                if field.name == "header":
                    continue
                optional = type(None) in get_args(hints[field.name])
                bare = field.default is MISSING and field.default_factory is MISSING
                yield kind, field.name, owner, bare and not optional


FIELDS = list(every_field())
IDS = [f"{kind}.{name}" for kind, name, _, _ in FIELDS]


@pytest.mark.parametrize(("kind", "name", "owner", "needed"), FIELDS, ids=IDS)
def test_a_missing_field_takes_its_default_or_is_named(
    kind: str, name: str, owner: type, needed: bool
) -> None:
    payload = payload_of(kind)
    payload.pop(name, None)

    if needed:
        with pytest.raises(MalformedMessageError, match=rf"{name}: missing"):
            read(kind, payload)
    else:
        try:
            assert type(read(kind, payload)) is type(SAMPLES[kind])
        except MalformedMessageError as error:  # two fields that only make sense together
            assert name in str(error)  # noqa: PT017


@pytest.mark.parametrize(("kind", "name", "owner", "needed"), FIELDS, ids=IDS)
@pytest.mark.parametrize("nonsense", [1.0, [1], {"a": [1]}, "", 3, True, None])
def test_a_field_of_a_wrong_type_is_named_or_is_what_it_looks_like(
    kind: str, name: str, owner: type, needed: bool, nonsense: Any
) -> None:
    payload = {**payload_of(kind), name: nonsense}
    if isinstance(nonsense, float):
        with pytest.raises(TypeError):
            canonical.dumps(payload)
        return

    try:
        found = read(kind, payload)
    except WireError as error:
        assert name in str(error) or kind in str(error)  # noqa: PT017
    else:
        where = found.header if owner is Header else found
        value = getattr(where, name)
        assert value == nonsense or type(value) in (tuple, dict)
        assert type(value) is not bool or nonsense is True


@pytest.mark.parametrize("kind", SAMPLES)
def test_unknown_fields_are_ignored(kind: str) -> None:
    payload = {**payload_of(kind), "from_the_future": {"x": [1, None, True]}, "header": 1}

    assert read(kind, payload) == SAMPLES[kind]


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("version", [0, 2, 99, "1", True, [1], {}])
def test_an_unknown_version_is_refused_with_its_number(kind: str, version: Any) -> None:
    with pytest.raises(UnsupportedVersionError, match="speaks version 1") as caught:
        read(kind, {**payload_of(kind), "v": version})
    assert caught.value.version == version


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_message_without_a_version_is_refused(kind: str) -> None:
    payload = payload_of(kind)
    del payload["v"]

    with pytest.raises(MalformedMessageError, match=r"\.v: missing"):
        read(kind, payload)


def test_a_huge_message_is_refused_before_it_is_parsed() -> None:
    data = b"{" + b" " * messages.UP_BYTES_MAX

    with pytest.raises(MessageTooLargeError, match=str(messages.UP_BYTES_MAX)):
        messages.decode(messages.Log, data)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("log", {"lines": ["x" * 8193]}, "longer than 8192"),
        ("log", {"lines": [""] * 4097}, "at most 4096"),
        ("health", {"parameters": {f"p{n}": 1 for n in range(4097)}}, "at most 4096"),
        ("report", {"step": 2**63}, "63 bits"),
        ("report", {"boot": "7-0a1b2c3d"}, "Boot id"),
        ("report", {"phase": "exploded"}, "not one of"),
        ("assign", {"device_id": "vx417q3k0928"}, "device_id"),
        ("hello", {"hardware_model": "vx 410"}, "hardware_model"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_a_sentence(
    kind: str, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(MalformedMessageError, match=said):
        read(kind, payload_of(kind) | change)


def test_metadata_texts_may_be_as_long_as_their_message() -> None:
    text = "x" * 100_000
    sample = SAMPLES["meta"]
    assert isinstance(sample, messages.Meta)

    data = messages.encode(replace(sample, files={"VX-410.json": text}))

    found = messages.decode(messages.Meta, data, messages.DOWN_BYTES_MAX)
    assert found.files["VX-410.json"] == text


@pytest.mark.parametrize(
    "window", [{"start_min": 1440, "end_min": 1}, {"start_min": -1, "end_min": 1},
               {"start_min": 5, "end_min": 5}, {"start_min": 5}],
)  # fmt: skip
def test_a_window_that_makes_no_sense_is_refused(window: dict[str, int]) -> None:
    payload = payload_of("assign")
    payload["assignment"]["window"] = window

    with pytest.raises(MalformedMessageError, match="window"):
        read("assign", payload)


@pytest.mark.parametrize(
    "cohort", [{}, {"salt": "s"}, {"salt": "s", "share_parts": 1, "merkle_root": "0" * 64}]
)
def test_a_cohort_is_a_share_or_a_list(cohort: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessageError, match="cohort"):
        read("wave", {**payload_of("wave"), "cohort": cohort})


@pytest.mark.parametrize("kind", sorted(KINDS[shape] for shape in SIGNED))
def test_a_signed_kind_is_never_read_or_written_plain(kind: str) -> None:
    message = SAMPLES[kind]

    with pytest.raises(AssertionError):
        messages.encode(message)
    with pytest.raises(AssertionError):
        messages.decode(type(message), b"{}")


@pytest.mark.parametrize("text", ["", "7", "00000007-0A1B2C3D", "00000007_0a1b2c3d", "0" * 17])
def test_a_malformed_boot_id_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessageError):
        BootId.parse(text)


def test_boots_are_ordered_by_their_count() -> None:
    assert BootId(9, "ffffffff") < BootId(10, "00000000")
    assert BootId.parse(str(BootId(9, "0a1b2c3d"))) == BootId(9, "0a1b2c3d")
