"""Offline keys are never readable without a passphrase; online keys by nobody else."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from oleada_store import keys
from oleada_store.errors import KeyFileError
from oleada_store.keys import PassphraseSource

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def _nobody(name: str) -> str:
    raise AssertionError(f"nobody is asked for {name}")


def test_an_offline_key_comes_back_with_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "approver.pem"

    keys.write_encrypted(path, KEY, b"correct horse")

    assert keys.read_encrypted(path, b"correct horse").private_bytes_raw() == bytes(range(32))
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_openssl_reads_an_offline_key_and_finds_scrypt_and_aes(tmp_path: Path) -> None:
    path = tmp_path / "approver.pem"
    keys.write_encrypted(path, KEY, b"correct horse")

    shown = subprocess.run(
        ["openssl", "asn1parse", "-in", str(path)], check=True, capture_output=True, text=True
    ).stdout
    public = subprocess.run(
        ["openssl", "pkey", "-in", str(path), "-passin", "pass:correct horse", "-pubout",
         "-outform", "DER"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip

    assert ":scrypt" in shown
    assert ":aes-256-cbc" in shown
    assert public.endswith(KEY.public_key().public_bytes_raw())


def test_two_files_of_one_key_and_passphrase_differ(tmp_path: Path) -> None:
    for name in ("a.pem", "b.pem"):
        keys.write_encrypted(tmp_path / name, KEY, b"correct horse")

    assert (tmp_path / "a.pem").read_bytes() != (tmp_path / "b.pem").read_bytes()


def test_a_wrong_passphrase_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "approver.pem"
    keys.write_encrypted(path, KEY, b"correct horse")

    with pytest.raises(KeyFileError, match="passphrase is wrong or the file is damaged"):
        keys.read_encrypted(path, b"incorrect horse")


def test_a_damaged_key_file_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "approver.pem"
    keys.write_encrypted(path, KEY, b"correct horse")
    whole = path.read_bytes()

    for cut in range(0, len(whole) - 2, 23):
        path.write_bytes(whole[:cut])
        with pytest.raises(KeyFileError):
            keys.read_encrypted(path, b"correct horse")


def test_an_offline_key_that_is_not_encrypted_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "approver.pem"
    keys.write_online(path, KEY)

    with pytest.raises(KeyFileError, match="is not encrypted"):
        keys.read_encrypted(path, b"correct horse")


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "approver.pem"
    other = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(
        other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    )

    with pytest.raises(KeyFileError, match="another kind of key"):
        keys.read_encrypted(path, b"x")


@pytest.mark.parametrize("empty", [b"", b"  ", b"\t\n"])
def test_a_key_is_never_written_under_an_empty_passphrase(tmp_path: Path, empty: bytes) -> None:
    with pytest.raises(KeyFileError, match="is empty"):
        keys.write_encrypted(tmp_path / "approver.pem", KEY, empty)

    assert list(tmp_path.iterdir()) == []


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "approver.pem"
    keys.write_encrypted(path, KEY, b"first")

    with pytest.raises(KeyFileError, match="never overwritten"):
        keys.write_encrypted(path, KEY, b"second")
    with pytest.raises(KeyFileError, match="never overwritten"):
        keys.write_online(path, KEY)
    assert keys.read_encrypted(path, b"first").public_key() == KEY.public_key()


def test_an_online_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "timestamp.pem"
    keys.write_online(path, KEY)
    assert keys.read_online(path).public_key() == KEY.public_key()

    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="mode 0644"):
        keys.read_online(path)


def test_online_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    first = keys.make_online_keys(tmp_path / "keys")
    (tmp_path / "keys" / "snapshot.pem").unlink()  # power went before it was written

    again = keys.make_online_keys(tmp_path / "keys")

    assert again["timestamp"] == first["timestamp"]
    assert again["snapshot"] != first["snapshot"]
    assert keys.read_public(tmp_path / "keys" / keys.ONLINE_PUBLIC_NAME) == again
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"timestamp": 1}', '{"timestamp": {"keytype": "rsa", "scheme": "x"}}']
)
def test_what_is_no_list_of_public_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "online-public.json"
    path.write_text(text)

    with pytest.raises(KeyFileError, match="does not hold public keys"):
        keys.read_public(path)


def test_a_passphrase_comes_from_a_file_a_variable_or_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(b" correct horse \r\nsecond line\n")
    monkeypatch.setenv("SIGNER", "battery staple")

    assert PassphraseSource(_nobody, file=file).read("root-1") == b" correct horse "
    assert PassphraseSource(_nobody, variable="SIGNER").read("root-1") == b"battery staple"
    assert PassphraseSource(lambda name: f"of {name}").read("root-1") == b"of root-1"


def test_no_passphrase_is_no_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "passphrase"
    empty.write_text("\nsecond line\n")
    monkeypatch.setenv("SIGNER", "")
    monkeypatch.delenv("NOBODY", raising=False)

    for source, says in (
        (PassphraseSource(_nobody, file=empty), "is empty"),
        (PassphraseSource(_nobody, file=tmp_path / "nowhere"), "can not be read"),
        (PassphraseSource(_nobody, variable="SIGNER"), "is empty"),
        (PassphraseSource(_nobody, variable="NOBODY"), "is not set"),
        (PassphraseSource(lambda _: ""), "is empty"),
    ):
        with pytest.raises(KeyFileError, match=says):
            source.read("root-1")


@pytest.fixture
def shipped() -> ModuleType:
    """How keys are kept, read afresh, because tests make keys of their own that cost little."""
    spec = importlib.util.find_spec("oleada_store.pkcs8")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_shipped_cost_of_a_passphrase_is_that_of_a_root_key(shipped: ModuleType) -> None:
    # OWASP's Password Storage Cheat Sheet: N = 2^14, r = 8, p = 5 is the least with 16 MiB.
    assert (shipped.SCRYPT_N, shipped.SCRYPT_R, shipped.SCRYPT_P) == (2**14, 8, 5)


def test_only_what_a_machine_drew_is_spared_the_stretching(shipped: ModuleType) -> None:
    drawn = keys.draw_passphrase().encode()

    assert shipped.cost_of(drawn) == shipped.SCRYPT_N_DRAWN < shipped.SCRYPT_N
    for typed in (
        b"correct horse",
        drawn.removeprefix(b"drawn:"),
        drawn[:-1],
        drawn + b"x",
        drawn + b"\n",
        b"drawn:" + b"a" * 43,
        b"drawn:" + b"correct-horse-battery" * 2 + b"-",
        b"Drawn:" + drawn.removeprefix(b"drawn:"),
    ):
        assert shipped.cost_of(typed) == shipped.SCRYPT_N, typed


def test_every_drawn_passphrase_is_another_and_opens_its_key(tmp_path: Path) -> None:
    drawn, other = keys.draw_passphrase().encode(), keys.draw_passphrase().encode()
    keys.write_encrypted(tmp_path / "a.pem", KEY, drawn)

    assert keys.read_encrypted(tmp_path / "a.pem", drawn).private_bytes_raw() == bytes(range(32))
    with pytest.raises(KeyFileError):
        keys.read_encrypted(tmp_path / "a.pem", other)
