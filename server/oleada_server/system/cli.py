"""``oleada doctor``: how this server is, in the sentences that its pages show."""

import json
import sys
from dataclasses import replace
from typing import Final

import click

from oleada_server import clock
from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.system import facts, front, judge, sentences

BROKEN: Final = 1
WARNED: Final = 3


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Say what needs a person: database, disks, processes, clocks, certificates, metadata.

    Goes to the device door by its public name as well, and says if TLS ends before it.

    Exit codes: 0 all is well, 3 something will break, 1 something is broken.
    """
    found = look(settings.load())
    if as_json:
        print(json.dumps([_spelt(one) for one in found], indent=2))
    else:
        for one in found:
            title, text = sentences.said(one)
            print(f"{one.kind:<4}  {title}. {text}")
        if not found:
            print("All is well.")
    if found:
        sys.exit(BROKEN if found[0].kind == "bad" else WARNED)


def look(config: Config) -> list[judge.Condition]:
    """Return what the server of *config* needs a person for, now."""
    app = create_app(config, WITHOUT_PAGES)
    with app.app_context():
        now = clock.now_utc()
        seen = front.find(config, now)
        known = replace(facts.gather(config, now), front=seen, door=config.door_url)
        found = judge.judge(known, now)
        db.session.remove()
        db.engine.dispose()
    return found


def _spelt(one: judge.Condition) -> dict[str, object]:
    title, text = sentences.said(one)
    at = one.at.isoformat() if one.at else None
    return {"code": one.code, "kind": one.kind, "about": one.about, "at": at,
            "number": one.number, "title": title, "text": text}  # fmt: skip
