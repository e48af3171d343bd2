"""Images: the header says what is inside, and not one byte may be another."""

from hashlib import sha256
from pathlib import Path

import pytest
from oleada_agent.boot import image
from oleada_agent.boot.choice import Behaviour, parse_release
from oleada_agent.boot.errors import ImageError
from oleada_agent.boot.image import (
    HEADER_BYTES,
    MAGIC,
    check,
    check_file,
    parse_header,
    read_header,
    read_inner,
    seal_header,
)

from tests.agent.boot.homes import build_image
from tests.agent.core.sim_box import an_image

DATA = an_image("1.1.0", 3_000)


def checked(data: bytes) -> image.ImageHeader:
    return check(lambda offset, size: data[offset : offset + size])


def test_a_whole_image_says_what_it_is() -> None:
    header = checked(DATA)

    assert (header.version, header.hardware_model) == ("1.1.0", "VX-410")
    assert header.image_bytes == 3_000


def test_one_flipped_byte_anywhere_makes_an_image_unbootable() -> None:
    for offset in range(len(DATA)):
        flipped = bytearray(DATA)
        flipped[offset] ^= 0x20

        with pytest.raises(ImageError):
            checked(bytes(flipped))


def test_no_beginning_of_an_image_passes_for_one() -> None:
    for size_bytes in range(0, len(DATA), 7):
        with pytest.raises(ImageError):
            checked(DATA[:size_bytes])


def test_bytes_after_the_image_do_not_matter() -> None:
    assert checked(DATA + b"left from a larger one").version == "1.1.0"


def test_a_slot_of_zeros_is_told_from_a_damaged_image() -> None:
    with pytest.raises(ImageError, match="There is no image"):
        parse_header(bytes(HEADER_BYTES))
    with pytest.raises(ImageError, match="The image's header is damaged"):
        parse_header(MAGIC.ljust(HEADER_BYTES, b"x"))


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{}",
        b"nonsense",
        b'{"body_sha256":"0","hardware_model":"V","image_bytes":"3000","version":"1"}',
        b'{"body_sha256":"0","hardware_model":"V","image_bytes":1024,"version":"1"}',
        b'{"body_sha256": "0", "hardware_model":"V","image_bytes":3000,"version":"1"}',
    ],
)
def test_a_header_that_another_builder_spelt_is_refused(text: bytes) -> None:
    data = MAGIC + sha256(text).digest() + text

    with pytest.raises(ImageError, match="The image's header is not"):
        parse_header(data.ljust(HEADER_BYTES, b"\0"))


def test_a_header_that_does_not_fit_is_not_written() -> None:
    with pytest.raises(ImageError, match="1024 are free"):
        image.ImageHeader(5_000, "0" * 64, "VX-410", "1" * 1_000).to_bytes()


def test_sealing_touches_only_the_first_1024_bytes(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(1024) + b"body" * 1_000)

    header = seal_header(path, hardware_model="VX-410", version="2.0")

    assert path.read_bytes()[HEADER_BYTES:] == b"body" * 1_000
    assert read_header(path) == check_file(path) == header


def test_a_file_without_a_body_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(1024))

    with pytest.raises(ImageError, match="a file system has more"):
        seal_header(path, hardware_model="VX-410", version="2.0")


def test_a_file_that_is_not_there_is_told() -> None:
    for read in (check_file, read_header):
        with pytest.raises(ImageError, match=r"none.img: No such file or directory\."):
            read(Path("none.img"))


@pytest.mark.real
def test_files_come_out_of_the_file_system_without_mounting_it(tmp_path: Path) -> None:
    path = build_image(tmp_path, "1.1.0", behaviour="unhealthy")

    release = parse_release(read_inner(path, image.RELEASE_PATH))

    assert (release.version, release.behaviour) == ("1.1.0", Behaviour.UNHEALTHY)
    assert read_inner(path, image.AGENT_PATH)[:2] == b"PK"
    with pytest.raises(ImageError, match="holds no /oleada/none"):
        read_inner(path, "/oleada/none")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "JSONDecodeError"),
        (b"[]", "TypeError"),
        (b'{"version":"1","hardware_model":"VX-410"}', "security_version"),
        (b'{"version":1,"hardware_model":"VX-410","security_version":1}', "version is 1"),
        (
            b'{"version":"1","hardware_model":"V","security_version":1,"behaviour":"odd"}',
            "odd",
        ),
    ],
)
def test_a_release_file_that_makes_no_sense_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        parse_release(data)
