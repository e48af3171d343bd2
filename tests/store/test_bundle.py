"""The bundle is a plain tar in one fixed form, and nothing else is read as one."""

import io
import tarfile
from dataclasses import replace

import pytest
from oleada_store import bundle
from oleada_store.bundle import Description, Head
from oleada_store.errors import BadBundleError, TruncatedBundleError

IMAGE = b"image" * 777
METADATA = b'{"signed":{}}'
SAID = Description(
    format=bundle.FORMAT,
    hardware_model="VX-410",
    version="5.8.2",
    role_version=2,
    target_path="VX-410/5.8.2.img",
    size_bytes=len(IMAGE),
    sha256="0" * 64,
    image_name="box.img",
    base="tuf",
)


def _written(said: Description = SAID, image: bytes = IMAGE) -> bytes:
    out = io.BytesIO()
    bundle.write(out, Head(said, METADATA), [image])
    return out.getvalue()


def _read(content: bytes) -> tuple[Head, bytes]:
    reader = bundle.Reader(io.BytesIO(content))
    return reader.head(), b"".join(reader.image())


def _tar(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _parts() -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(_written())) as tar:
        found = []
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            found.append((member.name, file.read()))
        return found


def test_what_was_written_is_read() -> None:
    assert _read(_written()) == (Head(SAID, METADATA), IMAGE)


def test_the_same_release_makes_the_same_bytes() -> None:
    assert _written() == _written()


def test_any_tar_program_reads_a_bundle() -> None:
    assert [name for name, _ in _parts()] == ["bundle.json", "metadata/VX-410.json", "image"]


def test_a_bundle_that_a_tar_program_made_is_read() -> None:
    assert _read(_tar(*_parts())) == (Head(SAID, METADATA), IMAGE)


@pytest.mark.parametrize("cut", range(0, len(_written()), 53))
def test_no_part_of_a_bundle_passes_for_a_bundle(cut: int) -> None:
    with pytest.raises(TruncatedBundleError, match="bytes are missing"):
        _read(_written()[:cut])


def test_the_end_is_missed_only_by_what_it_lacks() -> None:
    with pytest.raises(TruncatedBundleError, match="the end mark: 1 bytes are missing"):
        _read(_written()[:-1])


def test_a_stream_may_come_in_crumbs() -> None:
    class Crumbs(io.BytesIO):
        """A socket that gives a few bytes at a time."""

        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 7))

    reader = bundle.Reader(Crumbs(_written()))

    assert reader.head() == Head(SAID, METADATA)
    assert b"".join(reader.image()) == IMAGE


def test_files_stand_in_one_order() -> None:
    said, metadata, image = _parts()

    for members in (
        [metadata, said, image],
        [said, image, metadata],
        [said, metadata, ("more", b"x"), image],
        [said, ("metadata/VX-240.json", metadata[1]), image],
        [("./bundle.json", said[1]), metadata, image],
        [said, metadata, ("../image", image[1])],
    ):
        with pytest.raises(BadBundleError, match="was expected"):
            _read(_tar(*members))


def test_nothing_follows_the_image() -> None:
    said, metadata, image = _parts()

    for content in (_tar(said, metadata, image, ("more", b"x")), _written() + b"x"):
        with pytest.raises(BadBundleError, match="goes on after its end"):
            _read(content)


def test_endless_zeros_are_not_read_to_their_end() -> None:
    class Endless(io.BytesIO):
        """A bundle, and zeros for ever after."""

        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) or bytes(size or 0)

    reader = bundle.Reader(Endless(_written()))
    reader.head()

    with pytest.raises(BadBundleError, match="goes on after its end"):
        list(reader.image())


def test_an_empty_or_huge_part_is_refused_by_its_header() -> None:
    said, metadata, image = _parts()
    huge = tarfile.TarInfo("metadata/VX-410.json")
    huge.size = 10**9

    with pytest.raises(BadBundleError, match="has 0 bytes"):
        _read(_tar(said, ("metadata/VX-410.json", b""), image))
    with pytest.raises(BadBundleError, match="has 1000000000 bytes"):
        _read(_tar(said)[:1024] + huge.tobuf(tarfile.GNU_FORMAT) + metadata[1])


def test_an_image_of_another_length_than_announced_is_refused() -> None:
    said, metadata, image = _parts()

    with pytest.raises(BadBundleError, match=r"but bundle\.json says"):
        _read(_tar(said, metadata, ("image", image[1] + b"x")))
    with pytest.raises(BadBundleError, match="were announced"):
        _written(replace(SAID, size_bytes=len(IMAGE) + 1))


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{}",
        b"{",
        b'{"format":"oleada.bundle/2"}',
        b"\xff\xfe",
    ],
)
def test_a_description_that_is_none_is_refused(text: bytes) -> None:
    _, metadata, image = _parts()

    with pytest.raises(BadBundleError, match="not a release bundle"):
        _read(_tar(("bundle.json", text), metadata, image))


def test_a_description_of_a_later_format_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"format is 'oleada\.bundle/2'"):
        replace(SAID, format="oleada.bundle/2")


def test_an_image_larger_than_ustar_can_count_is_announced_and_read() -> None:
    size_bytes = 8 * 1024**3  # one more than eleven octal digits can say
    out = io.BytesIO()
    with pytest.raises(BadBundleError, match="were announced"):
        bundle.write(out, Head(replace(SAID, size_bytes=size_bytes), METADATA), [])

    found = bundle.Reader(io.BytesIO(out.getvalue())).head()

    assert found.description.size_bytes == size_bytes
