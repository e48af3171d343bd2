"""Real firmware: what is in it, and that a lock file alone decides its bytes."""

import subprocess
from pathlib import Path

import pytest
from oleada_lab.firmware import real
from oleada_lab.firmware.image import BuiltImage
from oleada_lab.firmware.lock import DEFAULT_PATH, read_lock

from tests.support.real_images import real_images

pytestmark = pytest.mark.real
LOCK = read_lock(DEFAULT_PATH)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[BuiltImage]:
    """Both images, built once."""
    return real_images(tmp_path_factory)


def test_a_lock_gives_the_same_bytes_twice(images: list[BuiltImage], tmp_path: Path) -> None:
    again = real.build_all(LOCK, real.DEFAULT_CACHE, tmp_path / "another" / "folder")

    assert [image.sha256 for image in again] == [image.sha256 for image in images]


def test_two_successive_images_are_real_and_differ(images: list[BuiltImage]) -> None:
    older, newer = images

    assert older.sha256 != newer.sha256
    assert min(older.size_bytes, newer.size_bytes) >= 60_000_000


@pytest.mark.parametrize("which", [0, 1])
def test_an_image_holds_kernel_modules_busybox_and_agent(
    images: list[BuiltImage], which: int
) -> None:
    kernel = LOCK.images[which].packages[0].name.removeprefix("linux-image-")
    needed = [
        f"/boot/vmlinuz-{kernel}",
        f"/lib/modules/{kernel}/kernel/fs/fuse/fuse.ko",
        "/bin/busybox",
        "/oleada/agent.pyz",
        "/oleada/release.json",
    ]

    found = [path for path in needed if _size_bytes(images[which].path, path) > 0]

    assert found == needed


def _size_bytes(image: Path, path: str) -> int:
    said = subprocess.run(
        ["debugfs", "-R", f'stat "{path}"', str(image)], capture_output=True, text=True, check=True
    ).stdout
    words = said.split()
    return int(words[words.index("Size:") + 1]) if "Size:" in words else 0
