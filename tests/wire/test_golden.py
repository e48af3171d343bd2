"""Boxes in homes run old code: every version's bytes are read for ever, and spelt alike.

``UPDATE_GOLDEN=1`` writes the files that are missing. It never changes one: the shape of
a shipped message is changed by adding fields with defaults, or by a new version.
"""

import os
from pathlib import Path

import pytest
from oleada_wire import messages
from oleada_wire.envelope import RoleKeys
from oleada_wire.errors import WireError
from oleada_wire.messages import KINDS, SIGNED, Message

from tests.wire.samples import LATER, SAMPLES, SIGNERS

GOLDEN = Path("tests/golden/wire")
ROLE = RoleKeys({signer.keyid: signer.key.public_key() for signer in SIGNERS}, 2)


def golden_path(kind: str) -> Path:
    suffix = ".sealed" if type(SAMPLES[kind]) in SIGNED else ""
    return GOLDEN / f"{kind}.v1.json{suffix}"


def written(message: Message) -> bytes:
    if type(message) in SIGNED:
        return messages.seal(message, list(SIGNERS))
    return messages.encode(message)


def read(kind: str, data: bytes) -> Message:
    shape = type(SAMPLES[kind])
    if shape in SIGNED:
        return messages.open_message(shape, data, ROLE)
    return messages.decode(shape, data, messages.DOWN_BYTES_MAX)


def test_every_kind_has_a_sample_and_golden_bytes() -> None:
    assert set(SAMPLES) == set(KINDS.values())
    for kind, message in SAMPLES.items():
        path = golden_path(kind)
        if os.environ.get("UPDATE_GOLDEN") and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written(message))
        assert path.exists(), f"{path} is missing; UPDATE_GOLDEN=1 writes it"


@pytest.mark.parametrize("kind", SAMPLES)
def test_golden_bytes_are_read_as_they_were_meant(kind: str) -> None:
    assert read(kind, golden_path(kind).read_bytes()) == SAMPLES[kind]


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_message_is_spelt_as_the_golden_bytes_are(kind: str) -> None:
    assert written(SAMPLES[kind]) == golden_path(kind).read_bytes()


@pytest.mark.parametrize(("name", "message"), LATER.items())
def test_a_field_that_came_later_has_golden_bytes_of_its_own(name: str, message: Message) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN") and not path.exists():
        path.write_bytes(written(message))

    assert written(message) == path.read_bytes()
    assert read(name.partition(".v")[0], path.read_bytes()) == message


@pytest.mark.parametrize("kind", SAMPLES)
def test_no_part_of_a_message_passes_for_a_message(kind: str) -> None:
    data = golden_path(kind).read_bytes()

    for cut in range(len(data)):
        with pytest.raises(WireError):
            read(kind, data[:cut])


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*")), ids=lambda path: path.name)
def test_every_golden_file_belongs_to_a_kind_that_is_still_read(path: Path) -> None:
    kind = path.name.partition(".v")[0]

    assert kind in SAMPLES, f"{path} was shipped; it must be read for ever"
    assert read(kind, path.read_bytes())
