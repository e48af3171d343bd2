"""Files that boxes upload: asked for, once, whole, bounded, by the box itself, and not for ever."""

import io
import os
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from oleada_server.actions import answers, service, uploads
from oleada_server.actions.errors import (
    ActionNotFoundError,
    NoRoomForUploadsError,
    UploadRefusedError,
    UploadTooLargeError,
)
from oleada_server.actions.models import ActionFile
from oleada_server.db import db
from oleada_wire.parts import FileInfo

from tests.server.actions.orders import BOX, NOON, a_box, a_result, ordered

TEXT = b"line\n" * 1000


@pytest.fixture
def home(sqlite_app: Flask) -> Path:
    found: Path = sqlite_app.extensions["oleada_config"].data_dir
    return found / "uploads"


def sent(order_id: str, name: str = "log.txt", body: bytes = TEXT, **changes: Any) -> ActionFile:
    said = {"size_bytes": len(body), "now": NOON, **changes}
    return uploads.keep(
        str(said.pop("box", BOX)),
        order_id,
        name,
        io.BytesIO(body),
        **said,
    )


def test_a_file_lies_there_as_it_came_and_the_result_vouches_for_it(home: Path) -> None:
    a_box()
    made = ordered("log_pull")

    sent(made.id)
    digest = sha256(TEXT).hexdigest()
    before = answers.answer_of(made).files
    answers.record_result(
        BOX, a_result(made.id, files=(FileInfo("log.txt", len(TEXT), digest),)), NOON
    )
    db.session.expire_all()

    assert (home / made.id / "log.txt").read_bytes() == TEXT
    assert before[0][1] is None, "until the result came nobody can say"
    ((file, is_whole),) = answers.answer_of(service.get(made.id)).files
    assert (file.sha256, is_whole) == (digest, True)


def test_a_file_that_is_not_what_the_result_says_is_told(home: Path) -> None:
    a_box()
    made = ordered("log_pull")

    sent(made.id)
    answers.record_result(BOX, a_result(made.id, files=(FileInfo("log.txt", 9, "0" * 64),)), NOON)
    db.session.expire_all()

    assert home.exists()
    assert [good for _, good in answers.answer_of(service.get(made.id)).files] == [False]


@pytest.mark.parametrize(
    ("action", "name", "changes", "says"),
    [
        ("log_pull", "log.txt", {"box": "AAAA00000000"}, "Nobody has asked this box"),
        ("log_pull", "passwd", {}, "uploads no file 'passwd'"),
        ("log_pull", "../../keys/director.pem", {}, "uploads no file"),
        ("ping", "log.txt", {}, "ping uploads no file"),
        ("log_pull", "log.txt", {"now": NOON + timedelta(hours=1)}, "is over: silent"),
    ],
)
def test_what_nobody_asked_this_box_for_is_refused_and_leaves_nothing(
    home: Path, action: str, name: str, changes: dict[str, Any], says: str
) -> None:
    a_box()
    made = ordered(action)

    with pytest.raises(UploadRefusedError, match=says):
        sent(made.id, name, **changes)

    assert not home.exists()


def test_a_file_comes_once(home: Path) -> None:
    a_box()
    made = ordered("log_pull")
    sent(made.id)

    with pytest.raises(UploadRefusedError, match="is there already"):
        sent(made.id, body=b"another")

    assert (home / made.id / "log.txt").read_bytes() == TEXT


def test_after_the_result_no_file_comes_any_more(home: Path) -> None:
    a_box()
    made = ordered("log_pull")
    answers.record_result(BOX, a_result(made.id), NOON)
    db.session.commit()

    with pytest.raises(UploadRefusedError, match="is over: done"):
        sent(made.id)

    assert not home.exists()


def test_a_file_that_ends_early_is_refused_and_leaves_nothing(home: Path) -> None:
    a_box()
    made = ordered("log_pull")

    with pytest.raises(UploadTooLargeError, match="ended 10 bytes before"):
        sent(made.id, size_bytes=len(TEXT) + 10)

    assert list((home / made.id).iterdir()) == []
    assert sent(made.id).size_bytes == len(TEXT), "it may be sent again"


def test_boxes_that_all_upload_do_not_fill_the_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_box()
    made = ordered("log_pull")
    monkeypatch.setattr(uploads, "ALL_BYTES_MAX", len(TEXT) - 1)

    with pytest.raises(NoRoomForUploadsError, match="old ones go by themselves"):
        sent(made.id)

    assert not home.exists()


def test_files_go_after_two_weeks_and_what_a_cut_left_after_a_day(home: Path) -> None:
    a_box()
    made = ordered("log_pull")
    sent(made.id)
    cut = home / ("0" * 32)
    cut.mkdir()
    old = (NOON - timedelta(days=2)).timestamp()
    os.utime(cut, (old, old))

    assert uploads.prune(NOON + timedelta(days=13)) == 0
    assert not cut.exists()
    assert uploads.prune(NOON + timedelta(days=15)) == 1
    assert not (home / made.id / "log.txt").exists()
    with pytest.raises(ActionNotFoundError, match="it may be too old"):
        uploads.path_of(made.id, "log.txt")
