"""Every text is there in every language, with the same parts and the same markup."""

import re

import pytest
from babel.messages.catalog import Catalog, Message
from oleada_server import translations
from oleada_server.translations import LANGUAGES, TEMPLATE, catalogue, collected

PART = re.compile(r"%\((\w+)\)s|<[^>]+>")


def messages(found: Catalog) -> list[Message]:
    return [message for message in found if message.id]


def marks(text: str) -> list[str]:
    return sorted(found.group() for found in PART.finditer(text))


def forms(message: Message) -> list[str]:
    spelt = message.string if isinstance(message.string, tuple) else (message.string,)
    return [str(form) for form in spelt]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_message_is_missing_or_only_guessed(language: str) -> None:
    found = {message.id: message for message in messages(catalogue(language))}

    missing = [m.id for m in messages(collected()) if m.id not in found]
    empty = [key for key, message in found.items() if not all(forms(message)) or message.fuzzy]

    assert missing == []
    assert empty == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_message_is_left_over(language: str) -> None:
    wanted = {message.id for message in messages(collected())}

    assert [m.id for m in messages(catalogue(language)) if m.id not in wanted] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_translation_has_the_parts_and_the_markup_of_its_source(language: str) -> None:
    wrong = []
    for message in messages(catalogue(language)):
        sources = message.id if isinstance(message.id, tuple) else (message.id,)
        allowed = [marks(str(source)) for source in sources]
        for form in forms(message):
            if marks(form) not in allowed:
                wrong.append((sources[0], form))

    assert wrong == []


@pytest.mark.parametrize(("language", "count"), [("es", 2), ("cs", 3)])
def test_plurals_have_as_many_forms_as_the_language(language: str, count: int) -> None:
    counts = {
        len(message.string)
        for message in messages(catalogue(language))
        if isinstance(message.string, tuple)
    }

    assert counts == {count}


def test_the_template_is_what_stands_in_the_code() -> None:
    stored = {str(m.id) for m in messages(read_template())}

    assert stored == {str(m.id) for m in messages(collected())}


def test_a_catalogue_compiles_to_a_file_with_its_plural_rule() -> None:
    written = translations.compile_all()

    assert [path.suffix for path in written] == [".mo", ".mo"]
    assert all(b"nplurals=" in path.read_bytes() for path in written)


def read_template() -> Catalog:
    from babel.messages.pofile import read_po  # noqa: PLC0415 - only here

    with TEMPLATE.open("rb") as file:
        return read_po(file)
