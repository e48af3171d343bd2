"""The two real images, built once for all workers of a test run; they are only read."""

import fcntl
import os
import pickle
from pathlib import Path

import pytest
from oleada_lab.firmware import real
from oleada_lab.firmware.image import BuiltImage
from oleada_lab.firmware.lock import DEFAULT_PATH, read_lock


def real_images(folders: pytest.TempPathFactory) -> list[BuiltImage]:
    """Return both images, oldest first; whoever asks first builds them, the others wait."""
    of_worker = folders.getbasetemp()
    home = of_worker.parent if "PYTEST_XDIST_WORKER" in os.environ else of_worker
    with (home / "real-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _built(home / "real-images")


def _built(folder: Path) -> list[BuiltImage]:
    done = folder / "built"
    if not done.exists():
        found = real.build_all(read_lock(DEFAULT_PATH), real.DEFAULT_CACHE, folder)
        done.write_bytes(pickle.dumps(found))
    images: list[BuiltImage] = pickle.loads(done.read_bytes())  # noqa: S301 - written above
    return images
