"""Bad files: what a server, a box and a signer read at their start.

Each file is missing, empty, cut, noise, a folder, of a wrong type key by key, or of a
version of tomorrow. What reads it names the file and says what is wrong; a box goes on as
designed.
"""

import json
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import pytest
from oleada_agent import config as agent_config
from oleada_agent import identity, keypairs
from oleada_agent.boot.control import FileBootControl
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError
from oleada_agent.journal import Journal
from oleada_agent.outbox import DiskOutbox, Stamp
from oleada_agent.trust.errors import TrustError
from oleada_agent.trust.store import MetadataStore
from oleada_lab import scenario
from oleada_lab.errors import LabError
from oleada_lab.firmware.lock import DEFAULT_PATH as LOCK
from oleada_lab.firmware.lock import read_lock
from oleada_server import client as server_client
from oleada_server import config as server_config
from oleada_server.errors import ServerError
from oleada_store import bundle, keys, trust_files
from oleada_store.errors import StoreError
from oleada_wire.errors import WireError
from oleada_wire.ids import BootId

OURS = (AgentError, LabError, ServerError, StoreError, WireError, TrustError)
VALUES = ("true", "-1", "1.5", "nan", '""', '"a-word"', "[]", "[[1]]", "{a = 1}", str(2**70),
          '"\\u0000"', '"' + "a" * 10_000 + '"', "1979-05-27")  # fmt: skip
"""What stands, as TOML, where the value of a setting belongs."""
ODD: tuple[object, ...] = (None, True, -1, 2**70, "", "\x00", [], {}, "a" * 10_000)
STORY = Path("lab/scenarios/bad_release.toml")
BOX = """\
serial = "SN-1"
hardware_model = "VX-410"
enrol_url = "https://door.example"
"""
IDENTITY = {
    "device_id": "VX417Q3K0928", "hardware_model": "VX-410", "zone": "Europe/Madrid",
    "broker_host": "127.0.0.1", "broker_port": 8883, "artifacts_url": "https://door.example/a",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reader:
    """One file and what reads it.

    Attributes:
        read: Reads the file at a path, which it may find by its folder.
        place: Where the file lies below that folder.
        good: Its bytes when all is well.
        may_be_missing: No file means every default.
    """

    read: Callable[[Path], object]
    place: str
    good: Callable[[], bytes]
    may_be_missing: bool = False
    may_be_empty: bool = False


def _bundle(path: Path) -> object:
    with path.open("rb") as file:
        return bundle.Reader(file).head()


def _key() -> bytes:
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"


READERS = {
    "oleada.toml": Reader(
        lambda home: server_config.load(home, {}), "oleada.toml", lambda: b"web_port = 8080\n",
        may_be_missing=True, may_be_empty=True,
    ),
    "cli.json": Reader(
        server_client.read_login, "cli.json",
        lambda: b'{"url": "http://127.0.0.1:1", "token": "t"}', may_be_missing=True,
    ),
    "config.toml": Reader(agent_config.load, "data/config.toml", BOX.encode),
    "identity": Reader(
        lambda home: identity.load(RealDisk(home)), f"{keypairs.DIRECTORY}/{identity.RECORD}",
        lambda: json.dumps(IDENTITY).encode(),
    ),
    "scenario": Reader(lambda home: scenario.load(home / "s.toml"), "s.toml", STORY.read_bytes),
    "firmware lock": Reader(lambda home: read_lock(home / "lock"), "lock", LOCK.read_bytes),
    "key": Reader(
        lambda home: keys.read_encrypted(home / "k.pem", b"a passphrase"), "k.pem", _key
    ),
    "bundle": Reader(lambda home: _bundle(home / "b"), "b", lambda: b"no bundle at all" * 64),
    "online-public.json": Reader(
        lambda home: keys.read_public(home / "p.json"), "p.json", lambda: b"{}"
    ),
    "trust directory": Reader(
        trust_files.read_directory, "1.root.json", lambda: b'{"signatures": [], "signed": {}}'
    ),
}  # fmt: skip
"""By name: every file that a person or a program of ours reads at its start."""


def refusal(reader: Reader, home: Path) -> str | None:
    """Return the sentence with which the file is refused, None when it is read."""
    try:
        reader.read(home)
    except OURS as error:
        return str(error)
    return None


def put(reader: Reader, home: Path, data: bytes) -> Path:
    """Write *data* where *reader* looks."""
    path = home / reader.place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_damaged_is_refused_by_its_name(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    reader = READERS[name]
    good = reader.good()
    bad = {
        "noise": bytes(range(256)) * 8,
        "NUL": b"\x00" * 4096,
        "no UTF-8": b"\xff\xfe" + good,
        "a word": b"word",
        "an object": b'{"a": {"b": 1}}',
        "deep": b"[" * 100_000,
        "a long number": b"a = " + b"9" * 5000,
        "deep TOML": b"a = " + b"[" * 100_000,
        "a long number in JSON": b'{"a": ' + b"9" * 5000 + b"}",
    }
    if not reader.may_be_empty:
        bad["empty"] = b""
    for said, data in bad.items():
        path = put(reader, tmp_path, data)
        found = refusal(reader, tmp_path)
        assert found is not None, said
        assert len(found.split()) >= 4, (said, found)
        assert path.name in found or path.parent.name in found or name == "bundle", (said, found)
    for cut in range(0, len(good), max(1, len(good) // 40)):  # read or refused, never more
        put(reader, tmp_path, good[:cut])
        refusal(reader, tmp_path)
    request.node.user_properties.append(("cases", len(bad) + 41))


@pytest.mark.parametrize("name", [name for name in READERS if name != "bundle"])
def test_a_file_that_is_not_there_or_no_file_is_named(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    missing = refusal(reader, tmp_path)
    assert reader.may_be_missing or missing

    (tmp_path / reader.place).mkdir(parents=True)
    try:
        found: str | None = refusal(reader, tmp_path)
    except OSError as error:  # said as a sentence by the command line
        found = str(error)
    assert found


def test_every_setting_of_the_server_refuses_what_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "oleada.toml"
    for one in server_config.settings():
        accepted = []
        for value in VALUES:
            path.write_text(f"{one.name} = {value}\n")
            found = refusal(READERS["oleada.toml"], tmp_path)
            if found is None:
                accepted.append(value)
            else:
                assert one.name in found, (one.name, value)
        wanted = {str} if one.type is str else {int}
        for value in accepted:
            assert type(tomllib.loads(f"x = {value}")["x"]) in wanted, (one.name, value)


def test_every_setting_of_a_box_refuses_what_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "data/config.toml"
    path.parent.mkdir()
    good = tomllib.loads(BOX)
    for one in fields(agent_config.Config):
        rest = "".join(f"{k} = {json.dumps(v)}\n" for k, v in good.items() if k != one.name)
        for value in VALUES:
            path.write_text(f"{rest}{one.name} = {value}\n")
            found = refusal(READERS["config.toml"], tmp_path)
            assert found is None or (one.name in found and "config.toml" in found), (
                one.name,
                value,
            )
        if one.default is MISSING and one.name in good:
            path.write_text(rest)
            with pytest.raises(agent_config.ConfigError, match=one.name):
                agent_config.load(tmp_path)


def test_every_part_of_an_identity_refuses_what_it_is_not(tmp_path: Path) -> None:
    reader = READERS["identity"]
    for name, usual in IDENTITY.items():
        for value in ODD:
            put(reader, tmp_path, json.dumps({**IDENTITY, name: value}).encode())
            found = refusal(reader, tmp_path)
            if found is None:
                assert type(value) is type(usual), (name, value)
    put(reader, tmp_path, json.dumps(IDENTITY).encode())
    assert refusal(reader, tmp_path) is None


def test_a_box_begins_anew_with_whatever_lies_in_its_data(tmp_path: Path) -> None:
    """The journal, boot control, outbox and trust of a box are read, or set aside and told."""
    for number, data in enumerate(
        (b"", b"\x00" * 512, bytes(range(256)) * 4, b"{}", b"[" * 100_000, b'{"schema": 99}')
    ):
        home = tmp_path / str(number)
        for place in ("data/journal.0", "data/journal.1", "boot/control.0", "boot/control.1",
                      "data/trust/root", "data/outbox/0000000001-report-" + "a" * 32,
                      "data/outbox/nonsense", "data/seq"):  # fmt: skip
            (home / place).parent.mkdir(parents=True, exist_ok=True)
            (home / place).write_bytes(data)
        disk = RealDisk(home)

        assert FileBootControl(disk).load() is None
        Journal(disk).load()
        stamp = Stamp(disk, BootId(1, "0a1b2c3d"), lambda: 0, lambda: "0" * 32)
        outbox = DiskOutbox(disk, stamp, lambda: 0)
        outbox.put_log(["still here"])

        assert len(outbox) >= 1
        assert set(MetadataStore(RealDisk(home / "data/trust")).read("timestamp")) == set()
