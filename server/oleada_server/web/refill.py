"""Fills a form in a page of ours with what somebody had typed; pure text in, text out.

Works on the HTML that our templates make, so every form of the console can come back
filled without a word in its template. Never touched: passwords, files, form tokens.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

FORM_ID: Final = "kept-form"
NEVER_FILLED: Final = frozenset({"password", "file", "submit", "button", "image", "reset"})
CHOSEN: Final = frozenset({"radio", "checkbox"})

_Attributes = dict[str, str | None]


@dataclass(slots=True)
class _Control:
    """A tag of a form: where it stands in the page, and its attributes as they are."""

    tag: str
    start: int
    end: int
    attributes: _Attributes
    text: str = ""
    text_end: int = 0

    @property
    def name(self) -> str:
        return self.attributes.get("name") or ""

    @property
    def kind(self) -> str:
        return (self.attributes.get("type") or "text").lower()

    @property
    def value(self) -> str:
        written = self.attributes.get("value")
        return " ".join(self.text.split()) if written is None else written

    @property
    def is_filled(self) -> bool:
        return self.kind not in NEVER_FILLED and self.name != "csrf_token"


@dataclass(slots=True)
class _Form:
    """A form of the page, and what it asks for."""

    opening: _Control
    controls: list[_Control] = field(default_factory=list)

    @property
    def kinds(self) -> set[str]:
        return {control.kind for control in self.controls if control.tag == "input"}

    def likeness(self, fields: Sequence[tuple[str, str]]) -> tuple[int, int]:
        """Return how well *fields* fit: names that it has, hidden values that are the same."""
        names = {control.name for control in self.controls}
        hidden = {(one.name, one.value) for one in self.controls if one.kind == "hidden"}
        return sum(name in names for name, _ in fields), len(hidden & set(fields))


@dataclass(frozen=True, slots=True)
class Refilled:
    """The page with the form filled.

    Attributes:
        html: The page; the form has the id *form_id*.
        form_id: Where a link to the form leads.
        asks_password: The form has a password, which has to be typed again.
        asks_file: The form has a file, which has to be chosen again.
    """

    html: str
    form_id: str
    asks_password: bool
    asks_file: bool


def refill(html: str, path: str, action: str, fields: Sequence[tuple[str, str]]) -> Refilled | None:
    """Return page *html* of *path* with the form for *action* filled, None if it has none.

    Args:
        html: A whole page.
        path: The path of the page, to which a form without an action is sent.
        action: The path that the form is sent to.
        fields: Names and values as they were typed, in order.
    """
    reader = _Reader(html)
    forms = [form for form in reader.forms if _goes_to(form.opening, path) == action]
    if not forms:
        return None
    form = max(forms, key=lambda one: one.likeness(fields))
    form_id = form.opening.attributes.get("id") or FORM_ID
    form.opening.attributes["id"] = form_id
    changed = [form.opening, *_filled(form.controls, fields)]
    kinds = form.kinds
    return Refilled(_spliced(html, changed), form_id, "password" in kinds, "file" in kinds)


def after_main(html: str, more: str) -> str:
    """Return page *html* with *more* as the first thing of its main part."""
    start = html.index("<main")
    end = html.index(">", start) + 1
    return html[:end] + more + html[end:]


def _goes_to(form: _Control, path: str) -> str:
    if (form.attributes.get("method") or "get").lower() != "post":
        return ""
    return urlsplit(form.attributes.get("action") or path).path


def _filled(controls: Iterable[_Control], fields: Sequence[tuple[str, str]]) -> Iterable[_Control]:
    """Yield the controls that look different with *fields*; a name's values go in order."""
    values: dict[str, list[str]] = defaultdict(list)
    for name, value in fields:
        values[name].append(value)
    select = ""
    for control in controls:
        if control.tag == "select":
            select = control.name
        elif control.tag == "option":
            if select in values:
                _mark(control, "selected", control.value in values[select])
                yield control
        elif control.kind in CHOSEN:
            _mark(control, "checked", control.value in values.get(control.name, []))
            yield control
        elif control.is_filled and values.get(control.name):
            _write(control, values[control.name].pop(0))
            yield control


def _mark(control: _Control, name: str, is_on: bool) -> None:
    control.attributes.pop(name, None)
    if is_on:
        control.attributes[name] = None


def _write(control: _Control, value: str) -> None:
    if control.tag == "textarea":
        control.text, control.end = f"\n{escape(value, quote=False)}", control.text_end
    else:
        control.attributes["value"] = value


def _spliced(html: str, changed: Iterable[_Control]) -> str:
    pieces, at = [], 0
    for control in sorted(changed, key=lambda one: one.start):
        text = control.text if control.tag == "textarea" else ""
        pieces += [html[at : control.start], _tag(control), text]
        at = control.end
    return "".join([*pieces, html[at:]])


def _tag(control: _Control) -> str:
    written = "".join(
        f" {name}" if value is None else f' {name}="{escape(value)}"'
        for name, value in control.attributes.items()
    )
    return f"<{control.tag}{written}>"


class _Reader(HTMLParser):
    """Finds the forms of a page and what is in them, with their places in the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.forms: list[_Form] = []
        self._open: _Form | None = None
        self._lines = [0]
        for line in html.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._html = html
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line, column = self.getpos()
        start = self._lines[line - 1] + column
        end = start + len(self.get_starttag_text() or "")
        control = _Control(tag, start, end, dict(attrs))
        if tag == "form":
            self._open = _Form(control)
            self.forms.append(self._open)
        elif self._open is not None and tag in {"input", "select", "option", "textarea"}:
            closing = f"</{tag}>" if tag == "textarea" else "<"
            control.text_end = self._html.find(closing, end)
            control.text = unescape(self._html[end : control.text_end])
            self._open.controls.append(control)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
