"""Catalogues of the pages' texts: English in the code, Spanish and Czech beside it.

``python -m oleada_server.translations extract`` collects the messages and merges them
into the catalogues; ``compile`` makes the ``.mo`` files that the server reads.
"""

from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

HOME: Final = Path(__file__).parent
SOURCE: Final = HOME.parent
TEMPLATE: Final = HOME / "messages.pot"
LANGUAGES: Final = ("es", "cs")
_METHODS: Final = [
    ("accounts/**.py", "python"),
    ("system/**.py", "python"),
    ("web/**.py", "python"),
    ("templates/**.html", "jinja2"),
    ("diagnosis/playbooks/**.toml", "oleada_server.translations.playbooks:extract"),
]
_OPTIONS: Final = {"templates/**.html": {"extensions": "jinja2.ext.do", "silent": "false"}}
_KEYWORDS: Final = {**DEFAULT_KEYWORDS, "say": None, "say_n": (1, 2)}


def collected() -> Catalog:
    """Return the messages that stand in code and templates now."""
    found = Catalog(
        project="Oleada", copyright_holder="Oleada contributors", charset="utf-8", fuzzy=False
    )
    for name, line, message, comments, context in extract_from_dir(
        SOURCE, _METHODS, _OPTIONS, _KEYWORDS, comment_tags=("L10N:",)
    ):
        found.add(message, None, [(name, line)], auto_comments=comments, context=context)
    return found


def catalogue(language: str) -> Catalog:
    """Return the catalogue of *language* as it is stored."""
    with _po(language).open("rb") as file:
        return read_po(file, locale=language)


def merge() -> None:
    """Write the messages of today into the template and every catalogue."""
    template = collected()
    with TEMPLATE.open("wb") as file:
        write_po(file, template, width=100, no_location=True, omit_header=True, sort_output=True)
    for language in LANGUAGES:
        known = catalogue(language) if _po(language).exists() else Catalog(locale=language)
        made_at = known.creation_date
        known.update(template, no_fuzzy_matching=True)
        known.creation_date = made_at  # so that a run without news changes nothing
        known.obsolete.clear()
        _po(language).parent.mkdir(parents=True, exist_ok=True)
        with _po(language).open("wb") as file:
            write_po(file, known, width=100, no_location=True, sort_output=True)


def compile_all() -> list[Path]:
    """Write every catalogue as ``.mo``; return what was written."""
    written = []
    for language in LANGUAGES:
        path = _po(language).with_suffix(".mo")
        with path.open("wb") as file:
            write_mo(file, catalogue(language))
        written.append(path)
    return written


def _po(language: str) -> Path:
    return HOME / language / "LC_MESSAGES" / "messages.po"
