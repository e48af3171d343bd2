"""What no new release may say of itself, wherever it is built."""

from dataclasses import replace

import pytest
from oleada_store.errors import MisnamedReleaseError
from oleada_store.new_release import check_new
from oleada_wire.release import ReleaseInfo

GOOD = ReleaseInfo(
    ("VX-410",), "5.8.2", 3, {"en": "Better.", "pt-BR": "Melhor."}, "5.8.2",
    ("codec:hevc-main10", "drm:widevine-l1"), ("F-118",),
)  # fmt: skip


def test_no_release_is_only_for_boxes_that_run_a_newer_one() -> None:
    check_new(GOOD)  # its own version is not newer

    with pytest.raises(MisnamedReleaseError, match=r"5\.8\.3 at least, which is newer"):
        check_new(replace(GOOD, min_version="5.8.3"))


@pytest.mark.parametrize(
    "word", ["", " ", "a b", " a", "a\n", "a\u00a0b", "\u202ea", "-a", "a" * 65, "a\x00", "\udcff"]
)
def test_a_word_with_blanks_or_worse_is_named(word: str) -> None:
    with pytest.raises(MisnamedReleaseError, match="provides has"):
        check_new(replace(GOOD, provides=("codec:av1", word)))
    with pytest.raises(MisnamedReleaseError, match="fixes has"):
        check_new(replace(GOOD, fixes=(word,)))


def test_nothing_is_said_twice() -> None:
    for twice in (
        replace(GOOD, fixes=("F-1", "F-1")),
        replace(GOOD, hardware_models=("VX-410", "VX-410")),
    ):
        with pytest.raises(MisnamedReleaseError, match="name each once"):
            check_new(twice)


@pytest.mark.parametrize("notes", [{"en": "a", "": "b"}, {"en": "a", "e n": "b"}, {"en": " "}])
def test_a_note_has_a_language_and_a_text(notes: dict[str, str]) -> None:
    with pytest.raises(MisnamedReleaseError):
        check_new(replace(GOOD, notes=notes))


def test_a_list_ends_somewhere() -> None:
    with pytest.raises(MisnamedReleaseError, match="101 entries"):
        check_new(replace(GOOD, fixes=tuple(f"F-{n}" for n in range(101))))
