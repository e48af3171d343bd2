"""Every page in both looks, four widths and three languages, looked at by a program.

Usage: ``make gallery`` or ``python -m tests.web.gallery OUT``. Keeps a picture of each and
says what is wrong: what goes sideways, what the console says, what the policy stops, and
what axe finds. Ends with 1 if there is anything.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oleada_server.accounts.service import LANGUAGES
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    StorageState,
    ViewportSize,
    sync_playwright,
)

from tests.web.console import launched
from tests.web.shoot import LOOKS, Look, console, pages

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HIGH = 3000
"""So high that nothing lies under the bar at the bottom, which scrolling would solve."""
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
    """Return what axe finds on *page*, whose context bypasses the policy."""
    page.add_script_tag(path=AXE)
    options = {"runOnly": {"type": "tag", "values": RULES}}
    result = page.evaluate(f"axe.run(document, {json.dumps(options)})")
    return [
        f"axe {found['id']}: {node['html'][:120]}"
        for found in result["violations"]
        for node in found["nodes"]
    ]


@dataclass(frozen=True, slots=True)
class Tour:
    """What is looked at: who is signed in where, the pages by name, where pictures go.

    *tag* is the language, for the names of the pictures.
    """

    browser: Browser
    address: str
    state: StorageState
    paths: dict[str, str]
    out: Path
    tag: str

    def faults(self) -> Iterator[str]:
        """Look at every page in every look and width; yield what is wrong."""
        for look, width in LOOKS:
            yield from self._looked(look, width)

    def _looked(self, look: Look, width: int) -> Iterator[str]:
        strict = self._context(look, ViewportSize(width=width, height=900))
        free = self._context(look, ViewportSize(width=width, height=HIGH), bypass_csp=True)
        watched, page = Watched(strict), free.new_page()
        for name, path in self.paths.items():
            file = f"{name}-{width}-{look}-{self.tag}.png"
            wrong = watched.open(self.address + path)
            watched.page.screenshot(path=self.out / file, full_page=True)
            page.goto(self.address + path)
            for text in wrong + violations_of(page):
                yield f"{file}: {text}"
        strict.close()
        free.close()

    def _context(self, look: Look, shape: ViewportSize, bypass_csp: bool = False) -> BrowserContext:
        return self.browser.new_context(
            viewport=shape, color_scheme=look, storage_state=self.state, bypass_csp=bypass_csp
        )


def main(out: Path) -> int:
    """Look at everything; return how many faults were found."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    with console() as (address, tokens, sample), sync_playwright() as playwright:
        browser = launched(playwright)
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/sign-in/link/{tokens['m.novak']}")
        page.click("main button")
        for language in LANGUAGES:
            page.goto(f"{address}/settings")
            page.click(f"button[name=language][value={language}]")
            state = context.storage_state()
            paths = pages(sample.rollout_id, sample.device_ids)
            for fault in Tour(browser, address, state, paths, out, language).faults():
                count += 1
                sys.stdout.write(f"{fault}\n")
        browser.close()
    sys.stdout.write(f"{count} faults; pictures in {out}\n")
    return count


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1] if len(sys.argv) > 1 else "gallery")) else 0)
