"""Shoots every page in both looks and four widths, for people to look at.

Usage: ``python -m tests.web.shoot [-l es] OUT [page ...]``; with -l in that language. Prints
what does not fit and what the browser's console says.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import Flask
from oleada_server import config
from oleada_server.accounts.models import Role
from oleada_server.app import create_app
from oleada_server.clock import now_utc
from oleada_server.db import db
from playwright.sync_api import BrowserContext, ViewportSize, sync_playwright

from tests.web.console import launched, served
from tests.web.diagnosis_rows import add_a_call, count_health
from tests.web.evidence_rows import add_evidence
from tests.web.people_rows import STEPS, add_security, add_sightings, let_in
from tests.web.sample import Sample, add_decisions, add_groups, add_named, add_people, fill

BOXES = 4824
Look = Literal["light", "dark"]
LOOKS: list[tuple[Look, int]] = [
    (look, width) for width in (1440, 1100, 390, 320) for look in get_args(Look)
]
NEVER = "0" * 12
SPLIT_VIEW = "split-view"
"""A page of this name lets every page warn; it is shot only when it is asked for."""
LOOKERS = {
    "look.en": ("Iva Ferrer", Role.ADMIN, "en", "Europe/Prague"),
    "look.es": ("Luz Ibarra", Role.ADMIN, "es", "Europe/Madrid"),
    "look.cs": ("Jan Kolář", Role.ADMIN, "cs", "Europe/Prague"),
}


@dataclass(frozen=True, slots=True)
class Filled:
    """A console that is served: sign-in tokens by person, and the pages by name."""

    app: Flask
    address: str
    tokens: dict[str, str]
    pages: dict[str, str]


def pages(sample: Sample, asked_id: int, held_id: int) -> dict[str, str]:
    """Return the address of each page by its name."""
    rollout_id, device_ids = sample.rollout_id, sample.device_ids
    return {
        "fleet": "/fleet",
        "box": f"/devices/{device_ids[6]}",
        "diagnosis": f"/devices/{device_ids[11]}?symptom=buffering&say=es",
        "week": f"/devices/{device_ids[11]}?range=7d",
        "do": f"/devices/{device_ids[11]}/do/log_pull?symptom=buffering",
        "reset": f"/devices/{device_ids[11]}/do/factory_reset",
        "health": "/health",
        "health-model": "/health/VX-410",
        "silent": f"/devices/{device_ids[22]}",
        "never": f"/devices/{device_ids[7]}",
        "revoke": f"/devices/{device_ids[6]}/revoke",
        "left-alone": f"/devices/{device_ids[6]}/left-alone",
        "firmware": "/releases",
        "release": "/releases/VX-410/5.8.2",
        "withdraw": "/releases/VX-410/5.8.2/withdraw",
        "audit": "/audit",
        "audit-none": "/audit?object=R-999",
        "audit-of": f"/audit?object=R-{rollout_id}",
        "chain": "/audit/chain",
        "sightings": "/audit/sightings",
        SPLIT_VIEW: "/audit/sightings",
        "users": "/users",
        "user": "/users/a.torres",
        "shut-out": "/users/old",
        "search": "/search?q=VX41",
        "not-found": "/search?q=nothing",
        "rollouts": "/rollouts",
        "rollout": f"/rollouts/R-{rollout_id}",
        "halted": "/rollouts/R-1",
        "draft": f"/rollouts/R-{rollout_id + 1}",
        "approval": f"/rollouts/R-{asked_id}",
        "held": f"/rollouts/R-{held_id}",
        "plan": "/rollouts/new?release=VX-240/5.7.9",
        "pause": f"/rollouts/R-{rollout_id}/pause",
        "stop": f"/rollouts/R-{rollout_id}/stop",
        "rollouts-ended": "/rollouts?state=ended",
        "rollouts-none": "/rollouts?before=1",
        "devices": "/devices",
        "filtered": f"/devices?rollout=R-{rollout_id}&wave=3&box=failed,rolled_back",
        "nothing": f"/devices?model=VX-410&contact=never&q={NEVER}",
        "settings": "/settings",
        "security": "/security",
        "keys": "/keys",
        "asked": "/asked",
        "waves": f"/rollouts/R-{held_id}#sign",
        "groups": "/groups",
        "group": "/groups/staff-homes",
        "why": f"/devices/{device_ids[6]}/why",
        "why-in": f"/devices/{device_ids[6]}/why?rollout=R-{rollout_id}",
        "app": "/security/app",
        "help": "/help",
        "password": "/password",
        "missing": "/rollouts/R-999",
    }


@contextmanager
def console(language: str = "en", *, split_view: bool = False) -> Iterator[Filled]:
    """Serve a console with a fleet in it, and an administrator for each language.

    The one of *language* has second factors, browsers and tokens. With *split_view* boxes
    were shown another audit trail.
    """
    # A stream of a page that was just left may still look into the database.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        settings = config.load(Path(home), {"OLEADA_SECOND_FACTOR": "offered"})
        settings.keys_dir.mkdir(mode=0o700)
        for name in ("director", "snapshot", "timestamp"):
            pem = Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            (settings.keys_dir / f"{name}.pem").write_bytes(pem)
            (settings.keys_dir / f"{name}.pem").chmod(0o600)
        app = create_app(settings)
        with app.app_context():
            db.create_all()
            tokens = add_people(now_utc()) | add_named(LOOKERS, now_utc())
            sample = fill(now_utc(), BOXES)
            add_evidence(sample.rollout_id, sample.now - timedelta(hours=2))
            add_groups(sample)
            found = pages(sample, *add_decisions(sample))
            add_a_call(sample.device_ids[11], sample.now)
            count_health(sample.now, {"VX-410": 3859, "VX-240": 965})
            for looker in LOOKERS:
                if looker == f"look.{language}":
                    add_security(looker, sample)
            add_sightings(sample, is_open=split_view)
            db.session.remove()
        with served(app) as address:
            yield Filled(app, address, tokens, found)


def shoot(context: BrowserContext, address: str, name: str, path: str, file: Path) -> None:
    """Shoot one page and say what is wrong with it."""
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(address + path)
    if name in STEPS:
        STEPS[name](page)
        page.wait_for_load_state()
    page.evaluate("document.fonts.ready")
    over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    page.screenshot(path=file, full_page=True)
    sys.stdout.write(f"{file.name}: sideways {over} px, console {said or 'clean'} ({name})\n")
    page.close()


def main(out: Path, wanted: list[str], language: str = "en") -> None:
    """Shoot the *wanted* pages, all if none is named, into directory *out*."""
    out.mkdir(parents=True, exist_ok=True)
    told = console(language, split_view=SPLIT_VIEW in wanted)
    with told as filled, sync_playwright() as playwright:
        address = filled.address
        browser = launched(playwright)
        signed_in = browser.new_context()
        page = signed_in.new_page()
        page.goto(f"{address}/sign-in/link/{filled.tokens[f'look.{language}']}")
        page.click("main button")
        with filled.app.app_context():
            let_in(now_utc())
            db.session.remove()
        state = signed_in.storage_state()
        for look, width in LOOKS:
            shape = ViewportSize(width=width, height=900 if width > 400 else 844)
            inside = browser.new_context(viewport=shape, color_scheme=look, storage_state=state)
            outside = browser.new_context(viewport=shape, color_scheme=look)
            for name, path in (filled.pages | dict.fromkeys(STEPS, "/settings")).items():
                if name in wanted or not (wanted or name == SPLIT_VIEW):
                    shoot(inside, address, name, path, out / f"{name}-{width}-{look}.png")
            if not wanted or "sign-in" in wanted:
                shoot(outside, address, "sign-in", "/sign-in", out / f"sign-in-{width}-{look}.png")
            inside.close()
            outside.close()
        browser.close()


if __name__ == "__main__":
    spoken = sys.argv[2] if sys.argv[1] == "-l" else "en"
    given = sys.argv[3:] if sys.argv[1] == "-l" else sys.argv[1:]
    main(Path(given[0]), given[1:], spoken)
