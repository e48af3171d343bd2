"""Rows of people's security for whoever looks at pages: factors, browsers, tokens, requests."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from oleada_server import config
from oleada_server.accounts import service, tokens
from oleada_server.accounts.models import FactorKind, RecoveryCode, Role, SecondFactor, Session
from oleada_server.accounts.second_person import ask
from oleada_server.audit import heads, witnessed
from oleada_server.audit.models import AuditSighting
from oleada_server.audit.witnessed import Kind
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.enrolment import mass_revocation
from oleada_server.releases import owners
from oleada_server.releases import service as releases
from oleada_server.rollouts import service as rollouts
from oleada_server.rollouts.models import Rollout
from oleada_server.rollouts.states import RolloutState
from oleada_store import waves
from oleada_store.keys import read_online, write_public
from oleada_wire.envelope import KeySigner
from playwright.sync_api import Page

from tests.support.releases import WAVE_KEYS, Signers, hold_ceremony
from tests.web.sample import ANA, Sample

BROWSERS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
SECOND: Final = "r.kučerová-svobodová"


def add_security(name: str, sample: Sample) -> None:
    """Give *name* factors, browsers and tokens, and let things wait for a second person."""
    now, user = sample.now, service.find_user(name)
    ago = timedelta(days=1)
    for number, (kind, label) in enumerate(
        ((FactorKind.TOTP, "Phone in the van"), (FactorKind.PASSKEY, "Key on the key ring"))
    ):
        db.session.add(
            SecondFactor(user_id=user.id, kind=kind, name=label, secret=b"-", created_at=now - ago,
                         credential_id=f"id-{number}" if number else None,
                         last_used_at=now - ago / 8 if number else None)
        )  # fmt: skip
    db.session.add_all(RecoveryCode(code_sha256=f"{n:064x}", user_id=user.id) for n in range(7))
    db.session.add_all(
        Session(token_sha256=f"{number:064x}", user_id=user.id, created_at=now - ago / 9,
                last_used_at=now - ago / 99 * (number + 1), expires_at=now + ago,
                address=f"2001:db8:0:{number}::{number:x}17", browser=browser)
        for number, browser in enumerate(BROWSERS)
    )  # fmt: skip
    db.session.commit()
    for label, scopes in (
        ("pipeline of the firmware team, nightly", ("releases:write", "rollouts:write")),
        ("grafana", ("devices:read", "rollouts:read", "releases:read", "audit:read")),
    ):
        tokens.create_token(name, label, scopes, actor=f"user:{name}", now=now - ago)
    _add_waiting(sample)
    keys_dir = config.current().keys_dir
    director = read_online(keys_dir / "director.pem").public_key()
    write_public(keys_dir / "online-public.json", {"director": director})
    heads.sign(now)


def add_sightings(sample: Sample, *, is_open: bool) -> None:
    """Let boxes have been shown heads that are not this server's; one *is_open*, if wanted."""
    now, ago = sample.now, timedelta(days=3)
    reason = "a copy of the server for the drill of 12 March ran with the real keys; it is gone"
    kinds = [(Kind.LOST, None), (Kind.SPLIT, reason), *([(Kind.SPLIT, None)] if is_open else [])]
    for number, (kind, settled) in enumerate(kinds):
        boxes = sample.device_ids[number : number + 1 + 19 * number]
        found = AuditSighting(
            at=now - ago / (number + 1), kind=kind, size=4711 + number, root_sha256="5e1f" * 16,
            epoch=0, signed_ms=to_ms(now - ago / (number + 1)), boxes=boxes[: witnessed.NAMED_MAX],
            envelope_sha256=f"{number:064x}", envelope="-",
        )  # fmt: skip
        db.session.add(found)
        db.session.commit()
        if settled:
            witnessed.settle(found.id, "user:ute", settled, now - ago / 9)


def _add_waiting(sample: Sample) -> None:
    """Let a role, a reset, an owner of a key and boxes wait for a second person."""
    now, ute = sample.now, "user:ute"
    service.add_user("ute", full_name="Ute Brandt", role=Role.ADMIN, actor=ANA, now=now)
    service.add_user("old", full_name="Otto Alt", role=Role.VIEWER, actor=ANA, now=now)
    service.disable_user("old", actor=ute, now=now)
    signers = hold_ceremony(config.current().keys_dir, now, waves_by_people=True)
    releases.install_trust(signers.files, ANA, now)
    sign_waves(signers, sample)
    key_ids = [key.key_id for key in owners.list_keys()]
    owners.set_owner(key_ids[0], "e.prieto", actor="system:cli", now=now)
    owners.ask(key_ids[1], "a.torres", "a new stick, see ticket 3381", actor=ute, now=now)
    role = {"name": "v.dvorak", "before": "viewer", "role": "approver"}
    why = "stands in for Elena from Monday on, two weeks; agreed with the shift leads"
    ask("user.role", "user:v.dvorak", role, why, actor=ute, now=now)
    reset = {"name": "e.prieto"}
    ask("factor.reset", "user:e.prieto", reset, "lost her phone", actor=ute, now=now)
    ute_herself = service.identity_of(service.find_user("ute"))
    boxes = sample.device_ids[:30]
    mass_revocation.ask(boxes, "stolen van, report 4711", person=ute_herself, now=now)


def sign_waves(signers: Signers, sample: Sample) -> None:
    """Let two approvers have signed what runs, but for the second wave of the one that is held."""
    people = [KeySigner.of(signers.secret[name]) for name in WAVE_KEYS[:2]]
    running = db.select(Rollout.id).where(Rollout.state == RolloutState.RUNNING)
    for rollout_id in db.session.scalars(running.order_by(Rollout.id)).all():
        last = None if rollout_id == sample.rollout_id else 1
        for signer, until in zip(people, (None, last), strict=True):
            request = waves.sign(rollouts.request_of(rollout_id).until(until), signer)
            rollouts.add_signatures(rollout_id, request, actor="user:e.prieto", now=sample.now)


def _new_token(page: Page) -> None:
    page.goto(f"{_origin(page)}/security")
    page.fill("#label", "pipeline of the firmware team")
    page.locator("input[name=scopes]").first.check()
    page.locator("form[action$='/security/tokens'] button").click()


def _new_codes(page: Page) -> None:
    page.goto(f"{_origin(page)}/security")
    page.locator("form[action$='/security/codes'] button").click()


def _new_link(page: Page) -> None:
    page.goto(f"{_origin(page)}/users/v.dvorak")
    page.locator("form[action$='/link'] button").click()


def _second_factor(page: Page) -> None:
    page.goto(f"{_origin(page)}/second-factor")


def _origin(page: Page) -> str:
    return "/".join(page.url.split("/")[:3])


STEPS: Final[dict[str, Callable[[Page], None]]] = {
    "token": _new_token,
    "codes": _new_codes,
    "link": _new_link,
    "second-factor": _second_factor,
}
"""Pages that come after a button was pressed, by name, and how one gets there."""


def let_in(now: datetime) -> None:
    """Let every browser be signed in, with a second factor proved just now."""
    db.session.execute(
        db.update(Session).values(
            factor_at=now, awaits_factor=False, expires_at=now + timedelta(hours=8)
        )
    )
    db.session.commit()
