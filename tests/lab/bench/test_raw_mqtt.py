"""The packets of the raw publisher, against examples and limits of the MQTT 5 standard."""

import pytest
from oleada_lab.bench.raw_mqtt import connect_packet, publish_packet, remaining_length, split_packet


@pytest.mark.parametrize(
    ("number", "spelt"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
    ],
)
def test_a_length_is_spelt_as_the_standards_table_has_it(number: int, spelt: str) -> None:
    assert remaining_length(number).hex() == spelt


def test_a_connect_is_a_clean_start_of_version_5() -> None:
    packet = connect_packet("box", 300)

    assert packet.hex(" ") == "10 10 00 04 4d 51 54 54 05 02 01 2c 00 00 03 62 6f 78"


@pytest.mark.parametrize("size_bytes", [0, 1, 117, 118, 16_000])
def test_a_packet_is_read_whole_or_not_at_all(size_bytes: int) -> None:
    packet = publish_packet("a/b", bytes(size_bytes), 7)

    found = split_packet(bytearray(packet + b"next"))

    assert found is not None
    assert found[0] == 3
    assert found[2] == len(packet)
    assert all(split_packet(bytearray(packet[:cut])) is None for cut in range(len(packet)))
