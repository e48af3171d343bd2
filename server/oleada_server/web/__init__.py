"""The console: server-rendered pages for people, live by server-sent events.

Pages call services and shape what they return; they hold no rule and no SQL. They work
without JavaScript for reading and for forms; htmx and ``console.js`` make them live.
"""

from flask import Flask
from flask_smorest import Api


def register(app: Flask, api: Api) -> None:  # noqa: ARG001 - every feature is called alike
    """Add the pages, their words, their icons and the security headers to *app*."""
    from oleada_server.web.wiring import wire  # noqa: PLC0415 - the worker never needs pages

    wire(app)
