"""Parts of a page: one that can not be read says so, and the rest of the page stays.

A loader makes :class:`Parts`, reads the data of each part through it, and hands it to the
page as ``reading``; the page draws with ``{{ part('days') }}`` and the live stream with
:meth:`Parts.render`. A part that the database (or the disk) did not give is replaced by a
notice with the code under which the log has the reason: the id of the request.

Only trouble outside of this program is told like that. A mistake of ours is raised and
ends the page, so that no test can overlook it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flask import g, render_template, request
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from sqlalchemy.exc import SQLAlchemyError

from oleada_server.db import read_only

NOT_READABLE: Final = (SQLAlchemyError, OSError)
"""What ends a reading without being our mistake."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unread:
    """A part that could not be read: its *title* on the page, and its *code* in the log."""

    title: str
    code: str


class Parts:
    """The parts of one page, each read and drawn by itself.

    Attributes:
        folder: Where the templates of the parts lie; part ``days`` is ``<folder>/days.html``
            and becomes the element ``p-days``.
        titles: What each part is called on the page, in the reader's language.
        unread: The parts that could not be read, by name.
    """

    def __init__(self, folder: str, titles: Mapping[str, str]) -> None:
        self.folder = folder
        self.titles = dict(titles)
        self.unread: dict[str, Unread] = {}

    def read(
        self,
        names: Iterable[str],
        reader: Callable[[], Mapping[str, Any]],
        after: Iterable[str] = (),
    ) -> dict[str, Any]:
        """Return what *reader* read for the templates of the parts *names*.

        Returns nothing, and marks *names* as not read, when the database does not answer or
        when a part of *after*, which *reader* builds on, could not be read.
        """
        missing = next((self.unread[one] for one in after if one in self.unread), None)
        if missing is not None:
            self._mark(names, missing.code)
            return {}
        try:
            return dict(reader())
        except NOT_READABLE:
            self._fail(tuple(names))
            return {}

    def render(self, name: str, page: Mapping[str, Any]) -> Markup:
        """Return part *name* drawn with *page*, or the notice that it could not be read.

        Drawing reads too, where a row is followed to another one.
        """
        if name not in self.unread:
            try:
                return Markup(render_template(f"{self.folder}/{name}.html", **page))  # noqa: S704 - a template of ours
            except NOT_READABLE:
                self._fail((name,))
        found = self.unread[name]
        return Markup(render_template("_unread.html", name=name, failed=found))  # noqa: S704 - as above

    def _fail(self, names: tuple[str, ...]) -> None:
        code = error_code()
        log.exception("error %s: %s of %s can not be read", code, ", ".join(names), request.path)
        self._mark(names, code)
        try:
            read_only()  # PostgreSQL answers nothing more in a transaction that has failed
        except NOT_READABLE:
            log.warning("error %s: the database is away", code)  # the next part will say so too

    def _mark(self, names: Iterable[str], code: str) -> None:
        for name in names:
            self.unread.setdefault(name, Unread(self.titles.get(name, name), code))


@pass_context
def part(context: Context, name: str) -> Markup:
    """Return part *name* of the page that is drawn; for templates."""
    page = context.get_all()
    parts: Parts = page["reading"]
    return parts.render(name, page)


def error_code() -> str:
    """Return the code of an error of this request: its id, which every line of its log has."""
    found: str = g.get("request_id", "")
    return found
