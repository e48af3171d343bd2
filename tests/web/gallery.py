"""Every page in both looks, four widths and three languages, looked at by a program.

Usage: ``make gallery`` or ``python -m tests.web.gallery OUT [page ...]``. Keeps a picture of
each and says what is wrong: what goes sideways, what the console says, what the policy stops,
and what axe finds. ``index.html`` shows them all. Ends with 1 if there is anything wrong.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from pathlib import Path

from oleada_server.accounts.service import LANGUAGES
from oleada_server.clock import now_utc
from oleada_server.db import db
from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.web.console import launched
from tests.web.people_rows import let_in
from tests.web.shoot import LOOKS, Filled, Look, console

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HIGH = 3000
ROOM = 200
"""See :func:`open_to_its_end`."""
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
    (event) => window.violations.push(event.violatedDirective + " " + event.blockedURI));
"""


class Watched:
    """A page of *context*, with what its console says and its policy stops."""

    def __init__(self, context: BrowserContext) -> None:
        context.add_init_script(VIOLATIONS)
        self.page = context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self._hear(message.text))
        self.page.on("pageerror", lambda error: self._hear(str(error)))

    def _hear(self, text: str) -> None:
        if "the server responded with a status of 404" not in text:  # asked for on purpose
            self.said.append(text)

    def open(self, address: str) -> list[str]:
        """Open *address*; return what is wrong with it, but for axe."""
        self.said.clear()
        self.page.goto(address)
        self.page.evaluate("document.fonts.ready")
        over = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        found = [f"sideways {over} px"] if over > 0 else []
        found += [f"console: {text}" for text in self.said]
        found += [f"policy: {text}" for text in self.page.evaluate("window.violations")]
        return found


def violations_of(page: Page) -> list[str]:
    """Return what axe finds on *page*.

    The script comes by the debugger, which no policy of the page stops.
    """
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE.read_text())
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    run = f"axe.run(document, {json.dumps(options)}).then((found) => found.violations)"
    violations = page.evaluate(run)  # what passes would be most of the work and of the bytes
    return [
        f"axe {found['id']}: {node['html'][:120]}"
        for found in violations
        for node in found["nodes"]
    ]


def open_to_its_end(page: Page, width: int) -> None:
    """Make the window so high that nothing lies under the bar at the bottom.

    Scrolling would solve what axe would otherwise find there.
    """
    tall = page.evaluate("document.documentElement.scrollHeight") + ROOM
    page.set_viewport_size({"width": width, "height": max(HIGH, tall)})


@dataclass(frozen=True, slots=True)
class Tour:
    """One language's walk through every page: a page is loaded once, then turned and squeezed."""

    filled: Filled
    pages: Mapping[str, str]
    language: str
    out: Path

    def faults(self) -> list[str]:
        """Look at every page in every look and width; return what is wrong."""
        with sync_playwright() as playwright:
            browser = launched(playwright)
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            watched = Watched(context)
            page = watched.page
            page.goto(f"{self.filled.address}/sign-in/link/{self.filled.tokens[self._name()]}")
            page.click("main button")
            page.wait_for_url(lambda address: "/sign-in" not in address)
            with self.filled.app.app_context():  # one of them has a second factor
                let_in(now_utc())
                db.session.remove()
            found = []
            for name, path in self.pages.items():
                found += [f"{name}-{self.language}: {text}" for text in self._open(watched, path)]
                for look, width in LOOKS:
                    found += self._looked(page, name, look, width)
            browser.close()
        return found

    def _name(self) -> str:
        return f"look.{self.language}"

    def _open(self, watched: Watched, path: str) -> list[str]:
        watched.page.set_viewport_size({"width": 1440, "height": 900})
        found = watched.open(self.filled.address + path)
        is_outside = "/sign-in" in watched.page.url
        return [*found, "this is the page for strangers"] if is_outside else found

    def _looked(self, page: Page, name: str, look: Look, width: int) -> list[str]:
        file = picture(name, self.language, width, look)
        page.emulate_media(color_scheme=look)
        page.set_viewport_size({"width": width, "height": 900})
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        page.screenshot(path=self.out / file, full_page=True)
        open_to_its_end(page, width)
        wrong = [f"sideways {over} px"] if over > 0 else []
        return [f"{file}: {text}" for text in wrong + violations_of(page)]


def picture(name: str, language: str, width: int, look: str) -> str:
    """Return the file of one picture: ``rollout-en-1440-light.png``."""
    return f"{name}-{language}-{width}-{look}.png"


def contact_sheet(names: Iterable[str], faults: Sequence[str]) -> str:
    """Return a page with every picture: a row a page, a column a look, and the faults first."""
    columns = [(lang, width, look) for lang in LANGUAGES for look, width in LOOKS]
    head = "".join(f"<th>{lang} {width} {look}</th>" for lang, width, look in columns)
    rows = []
    for name in names:
        files = [picture(name, *column) for column in columns]
        cells = "".join(
            f'<td><a href="{file}"><img src="{file}" alt="{file}" loading="lazy"></a></td>'
            for file in files
        )
        rows.append(f'<tr><th id="{name}">{name}</th>{cells}</tr>')
    wrong = "".join(f"<li>{escape(text)}</li>" for text in faults) or "<li>nothing</li>"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Gallery</title><style>'
        "body{font:14px sans-serif}img{width:220px;height:260px;object-fit:cover;"
        "object-position:top;border:1px solid #999}th{position:sticky;left:0;background:#fff;"
        f"text-align:left}}</style><h1>Gallery</h1><p>Wrong:</p><ul>{wrong}</ul>"
        f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def main(out: Path, wanted: Sequence[str] = ()) -> int:
    """Look at the *wanted* pages, all if none is named; return how many faults were found.

    Two languages are walked through at a time: most of the work is the browsers'.
    """
    out.mkdir(parents=True, exist_ok=True)
    with console() as filled:
        pages = {k: path for k, path in filled.pages.items() if not wanted or k in wanted}
        tours = [Tour(filled, pages, language, out) for language in LANGUAGES]
        with ThreadPoolExecutor(2) as crew:
            found = [fault for faults in crew.map(Tour.faults, tours) for fault in faults]
    sheet = out / "index.html"
    sheet.write_text(contact_sheet(pages, found))
    looks = len(pages) * len(LOOKS) * len(LANGUAGES)
    for fault in found:
        sys.stdout.write(f"{fault}\n")
    sys.stdout.write(f"{len(found)} faults in {looks} looks; {sheet}\n")
    return len(found)


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1] if sys.argv[1:] else "gallery"), sys.argv[2:]) else 0)
