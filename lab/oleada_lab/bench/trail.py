"""How long it takes to verify an audit trail of 100 000 entries: chain, tree and heads."""

import time
from pathlib import Path
from typing import Any, Final

from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.audit import heads, service, verify
from oleada_server.audit.models import AuditEvent
from oleada_server.clock import now_utc
from oleada_server.db import chunks, db, read_only
from oleada_store.keys import make_online_keys
from sqlalchemy import insert

ENTRIES: Final = 100_000
HEADS: Final = 20


def measure(home: Path, entries: int = ENTRIES) -> dict[str, Any]:
    """Return CPU seconds to sign the heads of *entries* entries and to verify them, on SQLite."""
    config = settings.load(home / "oleada", {})
    make_online_keys(config.keys_dir)
    app = create_app(config, WITHOUT_PAGES)
    with app.app_context():
        db.create_all()
        signing_s = 0.0
        for _ in range(HEADS):
            _add(entries // HEADS)
            begun_s = time.process_time()
            heads.sign(now_utc())
            signing_s += time.process_time() - begun_s
        known = heads.read(map(heads.line_of, heads.list_heads()), heads.director_role())
        read_only()
        begun_s = time.process_time()
        found = verify.verify(verify.entries(), known, heads.epoch())
        verified_s = time.process_time() - begun_s
        db.session.remove()
        db.engine.dispose()
    return {
        "entries": found.entries,
        "heads": found.heads,
        "whole": found.is_whole,
        "heads_signed_cpu_s": round(signing_s, 3),
        "verified_cpu_s": round(verified_s, 3),
    }


def _add(count: int) -> None:
    """Add entries as deeds do, but many at once: each by itself is a transaction."""
    last = db.session.scalar(
        db.select(AuditEvent.entry_sha256).order_by(AuditEvent.id.desc()).limit(1)
    )
    previous, now = last or service.BEGINNING, now_utc()
    rows = []
    for number in range(count):
        entry = AuditEvent(
            at=now, actor="user:bench", action="rollout.pause", object_ref=f"R-{number}",
            reason="a reason of usual length, for the trail", before={"state": "running"},
            after={"state": "paused"}, request_id="0" * 16, address="127.0.0.1",
            previous_sha256=previous,
        )  # fmt: skip
        previous = entry.entry_sha256 = service.digest_of(entry)
        columns = AuditEvent.__table__.columns
        rows.append({one.name: getattr(entry, one.name) for one in columns if one.name != "id"})
    for chunk in chunks(rows):
        db.session.execute(insert(AuditEvent), chunk)
    db.session.commit()
