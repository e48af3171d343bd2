"""What every page has: language, words, icons, the person, and addresses of assets."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Flask, g, request, url_for
from flask_babel import Babel

from oleada_server.accounts import access
from oleada_server.accounts.models import Role
from oleada_server.accounts.views import THEME_COOKIE, THEMES
from oleada_server.clock import now_utc
from oleada_server.errors import ServerError
from oleada_server.web import (
    action_pages,
    asked_pages,
    audit_pages,
    badges,
    chart,
    device_deeds,
    device_page,
    devices,
    diagnosis_page,
    firmware,
    fleet,
    group_pages,
    health_pages,
    kept_forms,
    key_pages,
    left_alone_pages,
    live,
    my_security,
    pages,
    parts,
    people,
    plan,
    rollouts,
    search_page,
    security,
    sightings,
    status,
    system_strip,
    why_page,
    words,
)
from oleada_server.web.serials import group

_PAGES = (
    pages,
    fleet,
    plan,
    rollouts,
    devices,
    device_page,
    device_deeds,
    diagnosis_page,
    action_pages,
    health_pages,
    left_alone_pages,
    why_page,
    firmware,
    audit_pages,
    sightings,
    people,
    my_security,
    key_pages,
    asked_pages,
    group_pages,
    search_page,
    live,
)
MACHINE_PATHS = (
    *("/api/", "/device/", "/.well-known/est/", "/artifacts/", "/tuf/", "/static/"),
    "/healthz",
)


def wire(app: Flask) -> None:
    """Add the console to *app*."""
    Babel(app, locale_selector=words.choose_language, timezone_selector=words.choose_zone)
    security.secure(app)
    kept_forms.watch(app)
    app.before_request(_know_person)
    app.context_processor(_every_page)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.add_extension("jinja2.ext.do")
    app.jinja_env.globals.update(_GLOBALS)
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]  # of the i18n extension
        lambda text: words.translations().gettext(text),
        lambda one, many, count: words.translations().ngettext(one, many, count),
        newstyle=True,
    )
    app.jinja_env.filters["serial"] = group
    for module in _PAGES:
        app.register_blueprint(module.blueprint)


def _know_person() -> None:
    """Look up who asks before a page is made, so that even an error speaks their language."""
    if request.path.startswith(MACHINE_PATHS):
        return
    try:
        access.load_identity()
    except ServerError:
        g.identity = None  # a bad bearer token on a page is nobody


def _every_page() -> dict[str, Any]:
    theme = request.cookies.get(THEME_COOKIE)
    return {
        "person": g.get("identity"),
        "theme": theme if theme in THEMES else "auto",
        "language": words.choose_language(),
        "now": now_utc(),
        "here": request.full_path.rstrip("?"),
    }


def asset(name: str) -> str:
    """Return the address of static file *name* with its content's hash in it."""
    return _address(request.script_root, name)


@cache
def _address(script_root: str, name: str) -> str:  # noqa: ARG001 - url_for puts it in front
    return url_for("static", filename=name, v=_fingerprint(name))


def initials(full_name: str) -> str:
    """Return the first letters of the first and the last word of *full_name*."""
    parts = full_name.split()
    return "".join(part[0].upper() for part in (parts[:1] + parts[1:][-1:]))


@cache
def _fingerprint(name: str) -> str:
    path = Path(__file__).parents[1] / "static" / name
    return sha256(path.read_bytes()).hexdigest()[:12]


_GLOBALS: dict[str, Any] = {
    "LANGUAGE_NAMES": words.LANGUAGE_NAMES,
    "Role": Role,
    "age": words.age,
    "asset": asset,
    "badge": badges.mark,
    "bullet": chart.bullet,
    "clock": words.clock,
    "clock_s": words.clock_s,
    "day": words.day,
    "duration": words.duration,
    "full_moment": words.full_moment,
    "initials": initials,
    "moment": words.moment,
    "n": words.number,
    "part": parts.part,
    "percent": words.percent,
    "say": words.say,
    "say_n": words.say_n,
    "size": words.size,
    "stack_bars": chart.stack,
    "status": status,
    "system_notices": system_strip.notices,
    "tracks": chart.tracks,
    "zone_name": words.zone_name,
}
