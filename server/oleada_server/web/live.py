"""Live parts of pages by server-sent events: small pieces of HTML with ids.

A stream sends only what has changed, at most twice a second, and a heartbeat, so that
the page can tell "nothing happens" from "nothing arrives". It ends when the reader
leaves, when the session ends, and after a while by itself: the page comes back with
``Last-Event-ID`` and gets everything once, which replaces and never doubles.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from threading import BoundedSemaphore
from typing import Any, Final

from flask import Blueprint, Response, current_app, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from oleada_server import config, outage
from oleada_server.accounts import service as accounts
from oleada_server.accounts.access import identity, require_role, session_secret
from oleada_server.accounts.models import Role
from oleada_server.clock import monotonic_s, now_utc
from oleada_server.db import db, read_only
from oleada_server.devices import service as devices
from oleada_server.live import service as live
from oleada_server.rollouts import service as rollouts
from oleada_server.spells import spell
from oleada_server.web import (
    asked_diagnosis,
    badges,
    device_page,
    fleet,
    rollout_list,
    rollout_page,
    words,
)
from oleada_server.web.parts import Parts

POLL_S: Final = 0.25
PAUSE_S: Final = 0.5  # at most two events a second
LIST_PAUSE_S: Final = 2.0  # a list of many rollouts is dearer to make
BEAT_S: Final = 5.0
AWAY_S: Final = 1.0
"""How long a page waits before it asks a database again that was away."""
LIVE: Final = "live pages"
STREAM_S_MAX: Final = 900.0
RETRY_MS: Final = 1000
PARTS: Final = ("head", "decide", "waves", "now", "curve", "evidence", "failed", "gate", "activity")
LIST_PARTS: Final = ("lede", "needs", "list")
FLEET_PARTS: Final = ("head", "figures", "states", "days", "rollouts", "needs", "firmware")
FLEET_PAUSE_S: Final = 5.0  # boxes talk all the time; the whole fleet moves slowly
DEVICE_PARTS: Final = (
    *("head", "verdict", "timeline", "say", "checks", "causes", "beside"),
    *("wanted", "slots", "health", "history", "log", "activity"),
)
DEVICE_PAUSE_S: Final = 1.0  # somebody is on the phone while checks end one after the other
SLOW_S: Final = 10.0
"""Boxes tell how they are all the time, and their messages are not announced box by box."""

blueprint = Blueprint("live_pages", __name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """A page that moves.

    Attributes:
        refs: What it shows, as the change table spells it.
        folder: Where the templates of its parts lie.
        parts: Their names; each is an element ``p-<name>`` of the page.
        load: Returns what the templates need, in a transaction that only reads.
        pause_s: Time between two events.
        slow_refs: What is looked at every :data:`SLOW_S` only, because it changes all the time.
    """

    refs: tuple[str, ...]
    folder: str
    parts: tuple[str, ...]
    load: Callable[[], dict[str, Any]]
    pause_s: float = PAUSE_S
    slow_refs: tuple[str, ...] = ()


@dataclass(slots=True)
class _Stream:
    """One reader: the last change it knows, and what each part looked like when sent.

    *slow_at_s* is from when on changes of what changes all the time count again.
    """

    watched: Watched
    last_id: int
    sent: dict[str, str] = field(default_factory=dict)
    slow_at_s: float = field(default_factory=lambda: monotonic_s() + SLOW_S)

    def news(self) -> Iterator[str]:
        """Yield one event with everything that looks different now; none if nothing does."""
        read_only()
        self.last_id = max(self.last_id, live.latest_id())
        self.slow_at_s = monotonic_s() + SLOW_S
        page = self.watched.load()
        pieces = []
        for name in self.watched.parts:
            html = self._drawn(name, page)
            digest = sha256(html.encode()).hexdigest()
            if self.sent.get(name) != digest:
                self.sent[name] = digest
                pieces.append(
                    f'<hx-partial hx-target="#p-{name}" hx-swap="outerMorph">{html}</hx-partial>'
                )
        db.session.remove()
        if pieces:
            yield event("".join(pieces), self.last_id)

    def _drawn(self, name: str, page: dict[str, Any]) -> str:
        found: Parts | None = page.get("reading")
        if found is not None:
            return str(found.render(name, page))
        return render_template(f"{self.watched.folder}/{name}.html", **page)

    def badge(self) -> Iterator[str]:
        """Yield the badge of the rail, if it looks different from what was sent last."""
        read_only()
        html = str(badges.mark())
        db.session.remove()
        before = self.sent.setdefault("badge", html)  # the page came with it
        if before != html:
            self.sent["badge"] = html
            swap = '<hx-partial hx-target="#badge-rollouts" hx-swap="outerMorph">'
            yield event(f"{swap}{html}</hx-partial>", self.last_id)

    def has_changed(self) -> bool:
        """Return whether something it shows was announced after what this reader knows."""
        read_only()
        refs = self.watched.refs
        if monotonic_s() >= self.slow_at_s:
            refs += self.watched.slow_refs
        changes = live.changes_since(self.last_id, refs)
        db.session.remove()
        return bool(changes)


@blueprint.get("/live/rollouts/R-<int(max=999999999):rollout_id>")
@require_role(Role.VIEWER)
def rollout(rollout_id: int) -> ResponseReturnValue:
    """Stream the parts of a rollout's page."""
    read_only()
    rollouts.get(rollout_id)
    db.session.remove()
    person = identity()

    def load() -> dict[str, Any]:
        return rollout_page.load(rollout_id, now_utc(), person)

    return _answer(Watched((f"R-{rollout_id}",), "rollouts/parts", PARTS, load))


@blueprint.get("/live/rollouts")
@require_role(Role.VIEWER)
def rollout_lines() -> ResponseReturnValue:
    """Stream the parts of the list of rollouts, as the query of its page narrows it."""
    person, query = identity(), request.args.to_dict()

    def load() -> dict[str, Any]:
        return rollout_list.load(query, person, now_utc())

    return _answer(Watched(("rollouts",), "rollouts/parts", LIST_PARTS, load, LIST_PAUSE_S))


@blueprint.get("/live/fleet")
@require_role(Role.VIEWER)
def whole_fleet() -> ResponseReturnValue:
    """Stream the parts of the fleet's page."""
    refs = ("devices", "rollouts", "releases")
    return _answer(Watched(refs, "fleet/parts", FLEET_PARTS, fleet.load, FLEET_PAUSE_S))


@blueprint.get("/live/devices/<device_id>")
@require_role(Role.VIEWER)
def device(device_id: str) -> ResponseReturnValue:
    """Stream the parts of a box's page, with the complaint and the answers of its address."""
    read_only()
    devices.get(device_id)
    db.session.remove()
    refs = (f"device:{device_id}", "rollouts")
    person, asked = identity(), asked_diagnosis.read(request.args)
    span = device_page.range_of(request.args)

    def load() -> dict[str, Any]:
        return device_page.load(device_id, asked, span, person, now_utc())

    return _answer(Watched(refs, "devices/parts", DEVICE_PARTS, load, DEVICE_PAUSE_S, ("devices",)))


def _answer(watched: Watched) -> Response:
    """Return the stream of a page's parts, or 503 when every seat is taken."""
    seats = _seats()
    if not seats.acquire(blocking=False):
        return Response("too many live pages\n", 503, {"Retry-After": "30"})
    known = request.headers.get("Last-Event-ID") or request.args.get("after") or "0"
    last_id = int(known) if known.isascii() and known.isdigit() and len(known) < 19 else 0
    events = _events(_Stream(watched, last_id), is_back="Last-Event-ID" in request.headers)
    answer = Response(stream_with_context(_seated(events, seats)), content_type="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


def event(html: str, event_id: int, name: str = "") -> str:
    """Return one server-sent event; *html* may have several lines."""
    head = f"event: {name}\n" if name else ""
    lines = "".join(f"data: {line}\n" for line in html.splitlines() or [""])
    return f"{head}id: {event_id}\nretry: {RETRY_MS}\n{lines}\n"


def _events(reader: _Stream, is_back: bool) -> Iterator[str]:
    """Yield what there is to say; while the database is away, only that somebody is here.

    Without beats the page says by itself how old it is.
    """
    told = spell(current_app, "database")
    ends_at = monotonic_s() + STREAM_S_MAX
    turns = _turns(reader, is_back, ends_at)
    while monotonic_s() < ends_at:
        try:
            yield from turns
            return
        except SQLAlchemyError as error:
            if outage.meaning(error) is None:
                raise
            told.failed(outage.meaning(error), monotonic_s(), LIVE)
            db.session.remove()
            yield ": the database does not answer\n\n"
            time.sleep(AWAY_S)
            reader.sent.clear()  # what was drawn may not have been sent
            turns = _turns(reader, True, ends_at)


def _turns(reader: _Stream, is_back: bool, ends_at: float) -> Iterator[str]:
    secret = session_secret() or ""
    beat_at = send_at = monotonic_s()
    yield from reader.badge()
    if is_back:
        yield from reader.news()
        spell(current_app, "database").worked(monotonic_s(), LIVE)
    while monotonic_s() < ends_at:
        if monotonic_s() >= send_at and reader.has_changed():
            yield from reader.news()
            send_at = monotonic_s() + reader.watched.pause_s
        if monotonic_s() >= beat_at:
            if not _is_signed_in(secret):
                yield event("", reader.last_id, "ended")
                return
            yield event(words.clock_s(now_utc()), reader.last_id, "beat")
            yield from reader.badge()
            beat_at = monotonic_s() + BEAT_S
        time.sleep(POLL_S)


def _seated(events: Iterator[str], seats: BoundedSemaphore) -> Iterator[str]:
    try:
        yield from events
    finally:
        db.session.remove()
        seats.release()


def _is_signed_in(secret: str) -> bool:
    read_only()
    found = accounts.find_session(secret, now_utc())
    db.session.remove()
    return found is not None


def _seats() -> BoundedSemaphore:
    """Return the seats for live pages: half of the threads, so that pages still answer."""
    seats = current_app.extensions.setdefault(
        "oleada_live_seats", BoundedSemaphore(max(1, config.current().web_threads // 2))
    )
    found: BoundedSemaphore = seats
    return found
