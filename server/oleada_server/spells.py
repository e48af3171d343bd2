"""One record a process of whether its database or its disk is away."""

import logging

from flask import Flask

from oleada_server.outage import Spell


def spell(app: Flask, what: str) -> Spell:
    """Return the process's only record of whether *what*, such as ``database``, is away."""
    held: dict[str, Spell] = app.extensions.setdefault("oleada_spells", {})
    return held.setdefault(what, Spell(logging.getLogger(__name__), what))
