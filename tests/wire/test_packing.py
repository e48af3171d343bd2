"""What is packed comes out as it was, and a few bytes never fill a memory."""

import hashlib
import os
import zlib
from pathlib import Path

import pytest
from oleada_wire import messages, packing
from oleada_wire.errors import MalformedMessageError, MessageTooLargeError, WireError
from oleada_wire.messages import UP_BYTES_MAX, Samples
from oleada_wire.packing_words import WORDS_1
from oleada_wire.readings import READINGS

from tests.wire.samples import SAMPLES

GOLDEN = Path("tests/golden/packed/samples.v1.1")
"""One packed message; the last number is the dictionary's."""
WORDS_SHA256 = "7215912202618fcb6602c3fa08dc32fac4f9c46e631de268bc47eba10d0f5683"
"""Of dictionary 1, for ever: boxes in homes have it."""


def squeezed(body: bytes) -> bytes:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, packing.RAW, zdict=WORDS_1)
    return bytes([packing.NUMBER]) + squeezer.compress(body) + squeezer.flush()


def test_the_dictionary_never_changes() -> None:
    assert hashlib.sha256(WORDS_1).hexdigest() == WORDS_SHA256
    assert len(WORDS_1) < 2**15, "deflate looks no further back"


def test_what_was_packed_once_is_read_for_ever() -> None:
    if os.environ.get("UPDATE_GOLDEN") and not GOLDEN.exists():
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_bytes(packing.pack(messages.encode(SAMPLES["samples"])))

    packed = GOLDEN.read_bytes()
    assert packed[0] == packing.NUMBER
    assert messages.decode(Samples, packed) == SAMPLES["samples"]


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_message_comes_out_as_it_went_in(kind: str) -> None:
    if kind in {"hello", "health", "samples", "log", "crash", "result", "report"}:
        data = messages.encode(SAMPLES[kind])
        packed = packing.pack(data)
        assert packing.unpack(kind, packed, UP_BYTES_MAX) == data
        assert len(packed) < len(data)


def test_everything_that_a_box_may_say_becomes_ten_times_smaller() -> None:
    values: dict[type, bool | int | str] = {int: 77, bool: True, str: "Enabled"}
    body = messages.encode(
        messages.Health(
            SAMPLES["health"].header, "5.8.1", "A", (),
            {one.name.replace("{i}", "1"): values[one.kind] for one in READINGS},
        )
    )  # fmt: skip

    assert len(packing.pack(body)) * 10 < len(body)


def test_what_does_not_become_smaller_goes_as_it_is() -> None:
    noise = hashlib.sha256(b"noise").digest()
    alike = b'{"x":"' + b"a" * 60_000 + b'"}'

    assert packing.pack(noise) == noise
    assert packing.pack(alike) == alike, "nobody would believe a ratio like that"


def test_no_part_of_a_packed_message_passes_for_one() -> None:
    packed = GOLDEN.read_bytes()

    for cut in range(len(packed)):
        with pytest.raises(WireError):
            messages.decode(Samples, packed[:cut])
    for more in (b"\0", packed):
        with pytest.raises(WireError):
            messages.decode(Samples, packed + more)


def test_a_packed_message_with_any_bit_turned_is_refused_or_is_a_message() -> None:
    packed = GOLDEN.read_bytes()

    for place in range(len(packed)):
        for bit in range(8):
            turned = bytearray(packed)
            turned[place] ^= 1 << bit
            try:
                found = messages.decode(Samples, bytes(turned))
            except WireError:
                continue
            assert type(found) is Samples


@pytest.mark.parametrize("size_bytes", [UP_BYTES_MAX + 1, 10_000_000])
def test_a_bomb_is_refused_before_it_fills_a_memory(size_bytes: int) -> None:
    with pytest.raises(WireError):
        packing.unpack("samples", squeezed(b"0" * size_bytes), UP_BYTES_MAX)


def test_what_unpacks_to_too_much_says_which_bound_it_broke() -> None:
    steep = squeezed(b"0" * 60_000)
    assert len(steep) * packing.RATIO_MAX < 60_000
    with pytest.raises(MalformedMessageError, match=f"{packing.RATIO_MAX} times"):
        packing.unpack("samples", steep, UP_BYTES_MAX)

    noise = "".join(hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(1_100))
    with pytest.raises(MessageTooLargeError, match=str(UP_BYTES_MAX)):
        packing.unpack("samples", squeezed(noise.encode()), UP_BYTES_MAX)


def test_another_dictionary_s_number_is_no_message() -> None:
    packed = GOLDEN.read_bytes()

    with pytest.raises(MalformedMessageError, match="JSON"):
        messages.decode(Samples, b"\x02" + packed[1:])
