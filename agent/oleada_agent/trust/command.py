"""``oleada-agent tuf``: the verifier for engineers and for other people's test suites.

Plain policy of the specification; the directory holds the trusted metadata under plain
names, and a target that lies there already with the signed hashes is not fetched again.
"""

import argparse
import http.client
import sys
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from oleada_agent import clock
from oleada_agent.health import utc
from oleada_agent.trust import client, metadata, reading
from oleada_agent.trust.client import SPECIFICATION, TrustedClient, check_root_by_itself
from oleada_agent.trust.errors import EndlessDataError, MissingMetadataError, TrustError
from oleada_agent.trust.store import MetadataStore, write_durably

TIMEOUT_S: Final = 30


def run(options: argparse.Namespace) -> int:
    """Do one step; return 0 when everything is trusted, 1 when something was refused."""
    try:
        if options.step == "init":
            _init(options.metadata_dir, options.root)
        elif options.step == "refresh":
            _client(options).refresh()
        else:
            _download(options)
    except TrustError as error:
        sys.stderr.write(f"oleada-agent tuf: refused ({error.attack}): {error}\n")
    except (OSError, http.client.HTTPException, ValueError) as error:
        sys.stderr.write(f"oleada-agent tuf: {type(error).__name__}: {error}\n")
    else:
        return 0
    return 1


def fetch(url: str, size_bytes_max: int) -> bytes | None:
    """Return what is at *url*, at most one byte more than the limit; None when it is not there.

    Raises:
        OSError: the server can not be reached, or answers something else.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept-Encoding": "identity"})
        response = connection.getresponse()
        if response.status in (403, 404):
            return None
        if response.status != 200:
            raise OSError(f"{url} answered {response.status}")
        data = response.read(size_bytes_max + 1)
        if response.length and len(data) <= size_bytes_max:
            raise OSError(f"{url} was cut after {len(data)} bytes")
        return data
    finally:
        connection.close()


def _init(directory: Path, root: Path) -> None:
    data = root.read_bytes()
    check_root_by_itself(reading.root(data, client.ROOT_BYTES_MAX), SPECIFICATION)
    MetadataStore(directory, copies=1).write("root", data)


def _client(options: argparse.Namespace) -> TrustedClient:
    base = _needed(options.metadata_url, "--metadata-url").rstrip("/")
    store = MetadataStore(options.metadata_dir, copies=1)
    return TrustedClient(
        store, lambda name, limit: fetch(f"{base}/{name}", limit), utc(clock.now_ms()),
        SPECIFICATION,
    )  # fmt: skip


def _download(options: argparse.Namespace) -> None:
    name = _needed(options.target_name, "--target-name")
    base = _needed(options.target_base_url, "--target-base-url").rstrip("/")
    directory: Path = options.target_dir
    if directory is None:
        raise ValueError("--target-dir is needed")
    trusted = _client(options)
    trusted.refresh()
    target = trusted.find(name)
    path = directory / quote(name, safe="")
    if _is_there(path, target):
        return
    folder, slash, last = target.path.rpartition("/")
    if trusted.root.consistent_snapshot:
        last = f"{next(iter(target.hashes.values()))}.{last}"
    data = fetch(f"{base}/{quote(folder + slash + last)}", target.length)
    if data is None:
        raise MissingMetadataError(f"The repository has no target '{name}'.")
    if len(data) > target.length:
        raise EndlessDataError(name, target.length)
    metadata.check_bytes(name, data, target.length, target.hashes)
    directory.mkdir(parents=True, exist_ok=True)
    write_durably(path, data)


def _is_there(path: Path, target: metadata.Target) -> bool:
    try:
        metadata.check_bytes(target.path, path.read_bytes(), target.length, target.hashes)
    except (OSError, TrustError):
        return False
    return True


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise ValueError(f"{name} is needed")
    return value
