"""What a new release may say of itself; looked at where it is built and where it is published.

Stricter than what a box reads: a release that is out is read for ever as it is.
"""

import re
from typing import Final

from oleada_wire.release import ReleaseInfo
from oleada_wire.version import version_key

from oleada_store.errors import MisnamedReleaseError

WORD: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:+/-]{0,62}[A-Za-z0-9])?")
"""An id or a capability: no blank, so that it can stand in a list and on a command line."""
WORDS_MAX: Final = 100
LANGUAGE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,34}")


def check_new(info: ReleaseInfo) -> None:
    """Accept what *info* says of a release that is not out yet.

    Raises:
        MisnamedReleaseError: No box could take it, or a word in it is not one.
    """
    if info.min_version is not None and version_key(info.min_version) > version_key(info.version):
        raise MisnamedReleaseError(
            f"Boxes are to come from {info.min_version} at least, which is newer than the release "
            f"itself, {info.version}."
        )
    if len(set(info.hardware_models)) < len(info.hardware_models):
        raise MisnamedReleaseError("A hardware model is named twice; name each once.")
    _check_words("provides", info.provides, "codec:hevc-main10")
    _check_words("depends", info.depends or (), "drm:widevine-l1")
    _check_words("fixes", info.fixes, "F-118")
    for language, text in info.notes.items():
        if not LANGUAGE.fullmatch(language):
            raise MisnamedReleaseError(
                f"{language[:40]!r} is not the tag of a language, such as 'en' or 'pt-BR'."
            )
        if not text.strip():
            raise MisnamedReleaseError(f"The note in {language!r} is empty; write it, or leave it.")


def _check_words(name: str, words: tuple[str, ...], example: str) -> None:
    if len(words) > WORDS_MAX:
        raise MisnamedReleaseError(f"{name} has {len(words)} entries; {WORDS_MAX} are enough.")
    for word in words:
        if not WORD.fullmatch(word):
            raise MisnamedReleaseError(
                f"{name} has {word[:40]!r}; an entry is 1 to 64 letters, digits and . _ : + / - "
                f"without blanks, such as {example!r}."
            )
    if len(set(words)) < len(words):
        raise MisnamedReleaseError(f"{name} names something twice; name each once.")
