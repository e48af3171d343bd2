"""A backup that is damaged, cut, extended or another's never passes for one."""

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from oleada_server.backup import archive, manifest, sealed
from oleada_server.backup.errors import (
    BackupExistsError,
    BackupSealedError,
    BadBackupError,
    BadPassphraseError,
    NewerBackupError,
)
from oleada_server.backup.manifest import Entry, Manifest

PASSPHRASE = b"a horse, a battery and a staple"
EMPTY = Manifest(
    manifest.FORMAT, "2026-03-01T12:00:00+00:00", "0.1.0", "0003", "sqlite", "", 0, (), ()
)


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derive keys quickly: how slow the derivation is has no part in these claims."""
    monkeypatch.setattr(sealed, "SCRYPT_N", 2)


def _write(path: Path, passphrase: bytes | None = None, *, big: int = 200_000) -> Manifest:
    with archive.written(path, passphrase) as writer:
        writer.add_text("files/oleada.toml", b"web_port = 1\n")
        writer.add("blobs/" + "ab" * 32, io.BytesIO(bytes(big)), big)
        made = replace(EMPTY, entries=tuple(writer.entries))
        writer.finish(made)
    return made


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_what_was_written_is_what_is_read_and_only_its_owner_may(
    tmp_path: Path, passphrase: bytes | None
) -> None:
    path = tmp_path / "a.backup"
    made = _write(path, passphrase)

    assert archive.check(path, passphrase) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert (b"web_port" in path.read_bytes()) is (passphrase is None)
    assert [p.name for p in tmp_path.iterdir()] == ["a.backup"]


def test_a_backup_never_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    path.write_text("yesterday's")

    with pytest.raises(BackupExistsError, match="another name"):
        _write(path)

    assert path.read_text() == "yesterday's"


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(BadBackupError, match="became shorter"),
        archive.written(tmp_path / "a.backup", None) as writer,
    ):
        writer.add("blobs/" + "ab" * 32, io.BytesIO(b"short"), 100)

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_backup_left_is_gone_after_the_next_but_not_what_another_writes(
    tmp_path: Path,
) -> None:
    left = tmp_path / "killed".join(archive.PART)
    left.write_text("PRIVATE KEY")

    with archive.written(tmp_path / "a.backup", None):
        held = [p.name for p in tmp_path.iterdir()]
        _write(tmp_path / "b.backup")

    assert left.name not in held
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.backup", "b.backup"]


def test_a_plain_backup_does_not_pass_for_one_under_a_passphrase(tmp_path: Path) -> None:
    _write(tmp_path / "a.backup")

    with pytest.raises(BadBackupError, match="not an encrypted backup, though"):
        archive.check(tmp_path / "a.backup", PASSPHRASE)


def test_a_pipe_is_refused_before_anybody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(BadBackupError, match="is read several times"):
        archive.check(tmp_path / "pipe", None)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_no_part_of_a_backup_passes_for_one(tmp_path: Path, passphrase: bytes | None) -> None:
    whole = tmp_path / "whole"
    _write(whole, passphrase)
    content = whole.read_bytes()
    end = len(content.rstrip(b"\0")) if passphrase is None else len(content)
    piece = sealed.PIECE_BYTES + sealed.TAG_BYTES
    cuts = {*range(0, end, 20_000), end // 2, 32 + piece, 32 + 2 * piece, end - 1}

    for cut in sorted(cuts):
        part = tmp_path / "part"
        part.write_bytes(content[:cut])
        with pytest.raises((BadBackupError, BadPassphraseError)):
            archive.check(part, passphrase)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_no_flipped_bit_passes(tmp_path: Path, passphrase: bytes | None) -> None:
    whole = tmp_path / "whole"
    _write(whole, passphrase, big=5000)
    content = whole.read_bytes()
    # Of a plain tar: the content of each member; padding means nothing.
    places = (
        [520, 2000, 5000, content.index(b'"sha256"') + 12]
        if passphrase is None
        else [20, 100, 9000]
    )

    for at in places:
        spoilt = bytearray(content)
        spoilt[at] ^= 1
        (tmp_path / "spoilt").write_bytes(spoilt)
        with pytest.raises((BadBackupError, BadPassphraseError)):
            archive.check(tmp_path / "spoilt", passphrase)


def test_pieces_can_not_be_moved_doubled_dropped_or_added(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    _write(path, PASSPHRASE, big=400_000)
    content = path.read_bytes()
    head, size = len(sealed.MAGIC) + sealed.SALT_BYTES, sealed.PIECE_BYTES + sealed.TAG_BYTES
    pieces = [content[at : at + size] for at in range(head, len(content), size)]
    orders = (
        [0, 2, 1, *range(3, len(pieces))],
        [0, 1, 1, *range(2, len(pieces))],
        [0, *range(2, len(pieces))],
        [*range(len(pieces)), 0],
    )

    for order in orders:
        path.write_bytes(content[:head] + b"".join(pieces[at] for at in order))
        with pytest.raises(BadBackupError):
            archive.check(path, PASSPHRASE)


def test_a_sealed_backup_needs_its_own_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    _write(path, PASSPHRASE)

    with pytest.raises(BackupSealedError, match="--passphrase-file"):
        archive.check(path, None)
    with pytest.raises(BadPassphraseError, match="another one"):
        archive.check(path, b"a donkey")


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "files/../oleada.db", "files/keys/../../x", "files/keys/.ssh", "tables/a.sql",
     "blobs/abc", "files/oleada.db", "files/keys//x", "files/pki/a\nb"],
)  # fmt: skip
def test_no_member_leads_out_of_its_place(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo(name))

    with pytest.raises(BadBackupError, match="which no backup does"):
        archive.check(path, None)


def test_a_link_is_no_member(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("files/keys/director.pem")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/shadow"
    with tarfile.open(path, "w") as tar:
        tar.addfile(info)

    with pytest.raises(BadBackupError, match="not a file"):
        archive.check(path, None)


def test_members_must_be_exactly_those_of_the_manifest() -> None:
    one, two = Entry("tables/a.jsonl", 1, "aa"), Entry("tables/b.jsonl", 1, "bb")
    made = replace(EMPTY, entries=(one, two))

    manifest.check_whole(made, [two, one])
    for found, why in (
        ([one], "lacks tables/b"),
        ([one, two, Entry("tables/c.jsonl", 1, "cc")], "does not name"),
        ([one, replace(two, sha256="cc")], "were written"),
        ([one, two, two], "twice"),
    ):
        with pytest.raises(BadBackupError, match=why):
            manifest.check_whole(made, found)


def test_a_backup_of_a_newer_version_is_refused_with_what_to_do() -> None:
    made = replace(EMPTY, version="2.0.0", schema_revision="0042")

    with pytest.raises(NewerBackupError, match=r"made by Oleada 2\.0\.0 .* Install 2\.0\.0 or"):
        manifest.check_revision(made, ["0001", "0002"])
    manifest.check_revision(replace(made, schema_revision="0001"), ["0001", "0002"])


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format":2}', b'{"format":1}', b"\xff"])
def test_a_manifest_that_can_not_be_read_is_said_so(text: bytes) -> None:
    with pytest.raises(BadBackupError):
        manifest.from_json(text)
