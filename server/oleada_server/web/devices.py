"""The list of devices: filters as chips, exact counts, pages that do not slip."""

from datetime import datetime, timedelta

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from oleada_server import config
from oleada_server.accounts.access import require_role
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import read_only
from oleada_server.devices import search
from oleada_server.devices.search import Contact, Sort
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.errors import RolloutNotFoundError
from oleada_server.web import device_list
from oleada_server.web.device_choices import choices
from oleada_server.web.device_rows import Lines

blueprint = Blueprint("device_pages", __name__)


@blueprint.get("/devices")
@require_role(Role.VIEWER)
def index() -> ResponseReturnValue:
    """Show the page of devices that the query string asks for."""
    now = now_utc()
    asked = device_list.read(request.args)
    read_only()
    page = _search(asked, now, asked.after)
    last = asked.without_last() if page.total == 0 else None
    offered = choices(asked.model, now)
    return render_template(
        "devices/index.html",
        nav="devices",
        now=now,
        asked=asked,
        chips=asked.chips(),
        page=page,
        fleet=page.total if not asked.chips() else max(offered.boxes, page.total),
        offered=offered,
        contacts=[(contact, device_list.contact_word(contact)) for contact in Contact],
        without_last=_search(last, now, None, limit=1).total if last else None,
        sorts=Sort,
        lines=lambda line, contacts: _lines(line, contacts, now).of(page.devices),
    )


def _lines(line: str, contacts: dict[str, str], now: datetime) -> Lines:
    silent_before = now - timedelta(seconds=config.current().silent_after_s)
    words = {name: str(word) for name, word in contacts.items()}
    return Lines(str(line), words, silent_before, now)


def _search(
    asked: device_list.Asked, now: datetime, after: str | None, limit: int = search.PAGE_SIZE
) -> search.Page:
    wave_id = None
    if asked.rollout is not None and asked.wave is not None:
        wave_id = _wave_id(asked.rollout, asked.wave)
    return search.list_devices(
        asked.filters(wave_id),
        now=now,
        silent_after_s=config.current().silent_after_s,
        after=after,
        limit=limit,
        sort=asked.sort,
    )


def _wave_id(rollout_id: int, position: int) -> int:
    """Return the row of a wave by the number that people see; 0, which none has, if missing."""
    try:
        waves = rollouts.get(rollout_id).waves
    except RolloutNotFoundError:
        return 0
    return next((wave.id for wave in waves if wave.position == position), 0)
