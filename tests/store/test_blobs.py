"""An image is in place whole and checked, or it is not there at all."""

import hashlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from oleada_store.blobs import CHUNK_BYTES, Blobs, file_chunks, hash_chunks
from oleada_store.errors import BadImageError, StorageFullError

IMAGE = os.urandom(3 * CHUNK_BYTES + 17)
SHA256 = hashlib.sha256(IMAGE).hexdigest()


def _chunks(image: bytes = IMAGE, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    return (image[at : at + size] for at in range(0, len(image), size))


def _files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_an_image_is_kept_under_its_digest(tmp_path: Path) -> None:
    store = Blobs(tmp_path)

    with store.receive(_chunks(), SHA256, len(IMAGE)) as image:
        assert not store.path(SHA256).exists()
        image.keep()

    assert store.path(SHA256).read_bytes() == IMAGE
    assert _files(tmp_path) == [f"{SHA256[:2]}/{SHA256}"]
    assert list(store.digests()) == [SHA256]


def test_an_image_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    with Blobs(tmp_path).receive(_chunks(), SHA256, len(IMAGE)):
        pass

    assert _files(tmp_path) == []


def test_the_same_image_may_come_twice(tmp_path: Path) -> None:
    store = Blobs(tmp_path)

    for _ in range(2):
        with store.receive(_chunks(), SHA256, len(IMAGE)) as image:
            image.keep()

    assert list(store.digests()) == [SHA256]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (IMAGE[:-1], "ends after"),
        (b"", "ends after 0 bytes"),
        (IMAGE + b"x", "more than"),
        (IMAGE[:-1] + bytes([IMAGE[-1] ^ 1]), "was signed"),
        (bytes(len(IMAGE)), "was signed"),
    ],
    ids=["short", "empty", "long", "a bit flipped", "zeros"],
)
def test_another_image_than_was_signed_leaves_nothing(
    tmp_path: Path, image: bytes, says: str
) -> None:
    with pytest.raises(BadImageError, match=says):
        Blobs(tmp_path).receive(_chunks(image), SHA256, len(IMAGE))

    assert _files(tmp_path) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES, limits[1]))
    try:
        with pytest.raises(StorageFullError, match="Make room"):
            Blobs(tmp_path).receive(_chunks(), SHA256, len(IMAGE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert _files(tmp_path) == []


def test_a_source_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield IMAGE[:CHUNK_BYTES]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        Blobs(tmp_path).receive(broken(), SHA256, len(IMAGE))

    assert _files(tmp_path) == []


@pytest.mark.parametrize(
    "image",
    [
        bytes(5 * CHUNK_BYTES),
        bytes(2 * CHUNK_BYTES) + b"end",
        b"start" + bytes(2 * CHUNK_BYTES),
        bytes(17),
    ],
    ids=["only zeros", "zeros first", "zeros last", "few zeros"],
)
def test_zeros_become_holes_and_come_back_as_zeros(tmp_path: Path, image: bytes) -> None:
    store = Blobs(tmp_path)
    sha256 = hashlib.sha256(image).hexdigest()

    with store.receive(_chunks(image), sha256, len(image)) as incoming:
        place = incoming.keep()

    assert place.read_bytes() == image
    assert place.stat().st_blocks * 512 <= 2 * CHUNK_BYTES


def test_a_download_may_begin_anywhere(tmp_path: Path) -> None:
    store = Blobs(tmp_path)
    with store.receive(_chunks(), SHA256, len(IMAGE)) as image:
        image.keep()

    with store.open_range(SHA256, CHUNK_BYTES + 3) as file:
        assert b"".join(file_chunks(file)) == IMAGE[CHUNK_BYTES + 3 :]


def test_a_deleted_image_is_gone_and_deleting_again_is_harmless(tmp_path: Path) -> None:
    store = Blobs(tmp_path)
    with store.receive(_chunks(), SHA256, len(IMAGE)) as image:
        image.keep()

    store.delete(SHA256)
    store.delete(SHA256)

    assert list(store.digests()) == []
    with pytest.raises(FileNotFoundError):
        store.open_range(SHA256)


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    store = Blobs(tmp_path)
    store.receive(_chunks(), SHA256, len(IMAGE))  # nobody keeps it, nobody throws it away

    store.clear_incoming()

    assert _files(tmp_path) == []


@pytest.mark.parametrize("name", ["", "x", "..", "A" * 64, "0" * 63, "../" + "0" * 61, "0" * 65])
def test_only_a_digest_names_a_blob(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a SHA-256"):
        Blobs(tmp_path).path(name)


def test_hash_and_size_are_those_of_the_whole() -> None:
    assert hash_chunks(_chunks(size=1000)) == (SHA256, len(IMAGE))
