"""The forms of a page, as a browser would send them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin


@dataclass
class Form:
    """One form: where it goes, what it says, and which of its fields people type.

    Attributes:
        fields: By name, the value that a browser would send.
        typed: Names of fields whose text must not be lost when something is wrong.
        buttons: Name and value of each button that has a name.
    """

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    typed: set[str] = field(default_factory=set)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    is_upload: bool = False


class _Reader(HTMLParser):
    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.forms: list[Form] = []
        self._open: Form | None = None
        self._text: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._begin(found)
        elif self._open is not None:
            self._field(self._open, tag, found)

    def _begin(self, found: dict[str, str]) -> None:
        action = urljoin(self.address, found.get("action") or self.address)
        self._open = Form(action, found.get("method", "get").upper())
        self._open.is_upload = found.get("enctype") == "multipart/form-data"
        self.forms.append(self._open)

    def _field(self, form: Form, tag: str, found: dict[str, str]) -> None:
        name, kind = found.get("name", ""), found.get("type", "text")
        if tag == "option":
            self._option(form, found)
        elif name and (tag == "button" or kind == "submit"):
            form.buttons.append((name, found.get("value", "")))
        elif name and tag == "select":
            self._select = name
        elif name and tag == "textarea":
            self._text, form.fields[name] = name, ""
            form.typed.add(name)
        elif name and tag == "input":
            self._input(form, name, kind, found)

    def _option(self, form: Form, found: dict[str, str]) -> None:
        if self._select is not None and ("selected" in found or self._select not in form.fields):
            form.fields[self._select] = found.get("value", "")

    def _input(self, form: Form, name: str, kind: str, found: dict[str, str]) -> None:
        if kind not in {"radio", "checkbox"} or "checked" in found:
            form.fields[name] = found.get("value", "")
            if kind in {"text", "search"}:
                form.typed.add(name)

    def handle_data(self, data: str) -> None:
        if self._open is not None and self._text is not None:
            self._open.fields[self._text] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "textarea":
            self._text = None
        elif tag == "select":
            self._select = None


def forms_of(html: str, address: str) -> list[Form]:
    """Return every form of the page at *address*."""
    reader = _Reader(address)
    reader.feed(html)
    return reader.forms
