"""A sign that no row notices is explained; what was judged is not judged again."""

from pathlib import Path
from typing import Any

import pytest
from oleada_lab.errors import LabError
from oleada_lab.kept_lines import KeptLines
from oleada_lab.rollouts import edges, explained, signs

ROOM = "evidence.slow_start"


def test_a_sign_that_was_judged_before_is_taken_from_what_is_kept(tmp_path: Path) -> None:
    kept, played = tmp_path / "signs", []

    def row() -> Any:
        played.append(1)
        return edges.play()

    def judged(whole: str) -> list[tuple[str, str | None]]:
        lines = KeptLines(kept, signs.NOTICED)
        return [(s.name, by) for s, by in signs.judge({"moments": row}, (ROOM,), lines, whole)]

    first, rows = judged("of this code"), len(played)
    assert judged("of this code") == first
    assert len(played) == rows, "no row was played"
    judged("of another code")
    assert len(played) == 2 * rows


def test_each_sign_has_a_name_without_a_line_and_what_is_explained_is_one() -> None:
    names = [sign.name for module in signs.CORE for sign, _ in signs.signs(module)]

    assert len(names) == len(set(names)) > 200
    assert "evidence.slow_start.left: max(wide - kept_by_bad, 1): turned" in names
    assert explained.stale(explained.load(), dict.fromkeys(names)) == []


def test_an_explanation_is_in_vain_of_a_sign_that_is_noticed_or_not_there() -> None:
    noticed_by = {"a: x < y: edge": "moments", "a: x < z: edge": None}

    assert explained.stale([*noticed_by, "a: gone"], noticed_by) == [
        "a: x < y: edge: noticed by 'moments'",
        "a: gone: there is no such sign",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[[sign]]\nname = 'a'\nwhy = ' '\n",
        "[[sign]]\nname = 'a'\nwhy = 'b'\n" * 2,
        "[[sign]]\nname = 'a'\n",
        "sign",
    ],
)
def test_a_sign_is_explained_once_and_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "signs.toml"
    path.write_text(text)

    with pytest.raises(LabError, match=r"signs\.toml"):
        explained.load(path)
