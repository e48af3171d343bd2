"""A release never says something else than its image says of itself."""

from dataclasses import replace
from pathlib import Path

import pytest
from oleada_agent.boot.image import ImageHeader, check_file, seal_header
from oleada_store.blobs import file_chunks
from oleada_store.errors import BadImageError, MisnamedReleaseError
from oleada_store.image_header import HEADER_BYTES, as_described
from oleada_wire.release import ReleaseInfo

INFO = ReleaseInfo(("VX-410", "VX-420"), "5.8.2", 1, {"en": "New"})
BODY = b"a file system" * 1000


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image that the boot program starts."""
    path = tmp_path / "box.img"
    path.write_bytes(bytes(HEADER_BYTES) + BODY)
    seal_header(path, hardware_model="VX-410", version="5.8.2")
    assert check_file(path).version == "5.8.2"
    return path


def _judge(image: Path, info: ReleaseInfo = INFO, chunk_bytes: int = 4096) -> bytes:
    content = image.read_bytes()
    chunks = (content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes))
    return b"".join(as_described(chunks, info, len(content)))


@pytest.mark.parametrize("chunk_bytes", [1, 100, 1023, 1024, 1025, 10**6])
def test_an_image_that_boots_passes_unchanged(image: Path, chunk_bytes: int) -> None:
    assert _judge(image, chunk_bytes=chunk_bytes) == image.read_bytes()


def test_any_model_of_the_release_will_do(image: Path) -> None:
    seal_header(image, hardware_model="VX-420", version="5.8.2")

    assert _judge(image) == image.read_bytes()


@pytest.mark.parametrize(
    "info", [replace(INFO, version="5.8.3"), replace(INFO, hardware_models=("VX-240",))]
)
def test_an_image_of_something_else_is_refused(image: Path, info: ReleaseInfo) -> None:
    with pytest.raises(MisnamedReleaseError, match="Name it as it is"):
        _judge(image, info)


@pytest.mark.parametrize("at", [8, 39, 60, 200, 1024, 5000, 14023])
def test_one_flipped_bit_is_refused_as_the_boot_program_refuses_it(image: Path, at: int) -> None:
    content = bytearray(image.read_bytes())
    content[at] ^= 1
    image.write_bytes(content)

    with pytest.raises(BadImageError):
        _judge(image)


def test_an_image_that_was_cut_is_refused(image: Path) -> None:
    image.write_bytes(image.read_bytes()[:-1])

    with pytest.raises(BadImageError, match="its own header says"):
        _judge(image)


def test_an_image_without_our_header_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "bundle.raucb"
    path.write_bytes(b"hsqs" + BODY)

    with path.open("rb") as file:
        assert b"".join(as_described(file_chunks(file), INFO, 1)) == path.read_bytes()


def test_the_header_is_the_boot_programs() -> None:
    header = ImageHeader(1024 + len(BODY), "0" * 64, "VX-410", "5.8.2")

    with pytest.raises(BadImageError, match="no box could start it"):
        list(as_described([header.to_bytes() + BODY], INFO, 1024 + len(BODY)))
