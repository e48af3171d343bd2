"""Live parts of pages by server-sent events: small pieces of HTML with ids.

A stream sends only what has changed, at most twice a second, and a heartbeat, so that
the page can tell "nothing happens" from "nothing arrives". It ends when the reader
leaves, when the session ends, and after a while by itself: the page comes back with
``Last-Event-ID`` and gets everything once, which replaces and never doubles.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from threading import BoundedSemaphore
from typing import Final

from flask import Blueprint, Response, current_app, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from oleada_server import config
from oleada_server.accounts import service as accounts
from oleada_server.accounts.access import require_role, session_secret
from oleada_server.accounts.models import Role
from oleada_server.clock import monotonic_s, now_utc
from oleada_server.db import db, read_only
from oleada_server.live import service as live
from oleada_server.rollouts import service as rollouts
from oleada_server.web import rollout_page, words

POLL_S: Final = 0.25
PAUSE_S: Final = 0.5  # at most two events a second
BEAT_S: Final = 5.0
STREAM_S_MAX: Final = 900.0
RETRY_MS: Final = 1000
PARTS: Final = ("head", "waves", "now", "curve", "failed", "gate", "activity")

blueprint = Blueprint("live_pages", __name__)


@dataclass(slots=True)
class _Stream:
    """One reader: the last change it knows, and what each part looked like when sent."""

    rollout_id: int
    last_id: int
    sent: dict[str, str] = field(default_factory=dict)

    def news(self) -> Iterator[str]:
        """Yield one event with everything that looks different now; none if nothing does."""
        read_only()
        self.last_id = max(self.last_id, live.latest_id())
        page = rollout_page.load(self.rollout_id, now_utc())
        pieces = []
        for name in PARTS:
            html = render_template(f"rollouts/parts/{name}.html", **page)
            digest = sha256(html.encode()).hexdigest()
            if self.sent.get(name) != digest:
                self.sent[name] = digest
                pieces.append(
                    f'<hx-partial hx-target="#p-{name}" hx-swap="outerMorph">{html}</hx-partial>'
                )
        db.session.remove()
        if pieces:
            yield event("".join(pieces), self.last_id)

    def has_changed(self) -> bool:
        """Return whether the rollout was announced after what this reader knows."""
        read_only()
        changes = live.changes_since(self.last_id, [f"R-{self.rollout_id}"])
        db.session.remove()
        return bool(changes)


@blueprint.get("/live/rollouts/R-<int(max=999999999):rollout_id>")
@require_role(Role.VIEWER)
def rollout(rollout_id: int) -> ResponseReturnValue:
    """Stream the parts of a rollout's page."""
    read_only()
    rollouts.get(rollout_id)
    db.session.remove()
    seats = _seats()
    if not seats.acquire(blocking=False):
        return Response("too many live pages\n", 503, {"Retry-After": "30"})
    known = request.headers.get("Last-Event-ID") or request.args.get("after") or "0"
    last_id = int(known) if known.isascii() and known.isdigit() and len(known) < 19 else 0
    events = _events(_Stream(rollout_id, last_id), is_back="Last-Event-ID" in request.headers)
    answer = Response(stream_with_context(_seated(events, seats)), content_type="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


def event(html: str, event_id: int, name: str = "") -> str:
    """Return one server-sent event; *html* may have several lines."""
    head = f"event: {name}\n" if name else ""
    lines = "".join(f"data: {line}\n" for line in html.splitlines() or [""])
    return f"{head}id: {event_id}\nretry: {RETRY_MS}\n{lines}\n"


def _events(stream: _Stream, is_back: bool) -> Iterator[str]:
    secret = session_secret() or ""
    ends_at = monotonic_s() + STREAM_S_MAX
    beat_at = monotonic_s()
    if is_back:
        yield from stream.news()
    while monotonic_s() < ends_at:
        if stream.has_changed():
            yield from stream.news()
            time.sleep(PAUSE_S)
        if monotonic_s() >= beat_at:
            if not _is_signed_in(secret):
                yield event("", stream.last_id, "ended")
                return
            yield event(words.clock_s(now_utc()), stream.last_id, "beat")
            beat_at = monotonic_s() + BEAT_S
        time.sleep(POLL_S)


def _seated(events: Iterator[str], seats: BoundedSemaphore) -> Iterator[str]:
    try:
        yield from events
    except SQLAlchemyError:
        current_app.logger.exception("a live page lost the database; it will come back")
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
