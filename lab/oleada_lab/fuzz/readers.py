"""The two readers of metadata that are compared: the box's own, and python-tuf's client.

Both get the same files, the same first root and the same time, and keep nothing on disk.
"""

from collections.abc import Mapping
from typing import Any, Final

from oleada_agent.trust.client import SPECIFICATION, TrustedClient
from oleada_agent.trust.errors import TrustError
from oleada_agent.trust.store import MetadataStore
from tuf.api import exceptions
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from oleada_lab.real.repository import NOON
from oleada_lab.sim.disk import SimDisk

BASE: Final = "http://repository/"
ACCEPTS: Final = "accepts"
CONFIG: Final = UpdaterConfig(max_root_rotations=3)
Files = Mapping[str, bytes]


class _Served(FetcherInterface):
    """Gives python-tuf the files of a dictionary."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def _fetch(self, url: str) -> Any:
        data = self._files.get(url.removeprefix(BASE))
        if data is None:
            raise exceptions.DownloadHTTPError("not there", 404)
        return iter([data])


class _InMemory(Updater):
    """python-tuf's client as it is, but that it keeps what it trusts nowhere."""

    def _persist_file(self, filename: str, data: bytes) -> None:
        del filename, data

    def _persist_root(self, version: int, data: bytes) -> None:
        del version, data

    def _update_root_symlink(self) -> None:
        """There is no directory."""

    def _load_local_metadata(self, rolename: str) -> bytes:
        raise FileNotFoundError(rolename)


def theirs(root: bytes, files: Files, path: str) -> tuple[str, bytes | None]:
    """Return how python-tuf judges *files*, and what target *path* is there."""
    try:
        client = _InMemory("", BASE, fetcher=_Served(files), config=CONFIG, bootstrap=root)
        client._trusted_set.reference_time = NOON
        found = client.get_targetinfo(path)
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        return type(error).__name__, None
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        return f"crash: {type(error).__name__}", None  # of theirs: it trusts nothing, and says so
    return (ACCEPTS, repr(found.to_dict()).encode()) if found else ("TargetNotFound", None)


def ours(root: bytes, files: Files, path: str) -> tuple[str, bytes | None]:
    """Return how the box's verifier judges *files*, and what target *path* is there.

    Whatever it raises that is not a ``TrustError`` is a bug and goes through.
    """
    store = MetadataStore(SimDisk(), copies=1)
    store.write("root", root)

    def get(name: str, size_bytes_max: int) -> bytes | None:
        data = files.get(name)
        return None if data is None else data[: size_bytes_max + 1]

    try:
        client = TrustedClient(store, get, NOON, SPECIFICATION)
        client.refresh()
        found = client.find(path)
    except TrustError as error:
        return type(error).__name__, None
    return ACCEPTS, repr((found.length, sorted(found.hashes.items()), found.custom)).encode()
