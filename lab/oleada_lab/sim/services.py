"""The real server in a story: its services on SQLite in memory, spoken to through the broker.

A batch goes through the real inbox; the scheduler's tick is the real one; what both leave
in the outbox is published. Words of the server are signed as ever and opened with its
public key before a box hears them, because the boxes of a story check no signatures.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.db import db
from oleada_server.devices.models import Device, HardwareModel
from oleada_server.messaging import inbox
from oleada_server.messaging.models import OutboxMessage, RetainedMessage
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import service
from oleada_server.rollouts.models import BoxInWave
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_wire import messages, topics
from oleada_wire.envelope import RoleKeys, keyid_of
from oleada_wire.topics import Down, Model
from sqlalchemy import func, select, update

from oleada_lab.check import facts
from oleada_lab.sim.broker import Message
from oleada_lab.sim.desk import Desk
from oleada_lab.sim.plain import Assigned, Covered
from oleada_lab.sim.street import Street
from oleada_lab.sim.terms import SECURITY_VERSION, Terms
from oleada_lab.sim.world import World

TICK_MS: Final = 30_000
ACTOR: Final = "user:lab"
SALT: Final = "services"


class Services:
    """The server's services beside a broker; ``start`` begins the rollout.

    Attributes:
        desk: The worker's place at the broker.
    """

    def __init__(self, street: Street, director: RoleKeys, terms: Terms) -> None:
        world, broker = street.world, street.broker
        self._world, self._director, self._terms = world, director, terms
        self._tell = street.tell
        self.desk = Desk(world, broker, self._store_batch)

    def start(self) -> None:
        """Plan the rollout, start it, and let the scheduler tick."""
        terms, now = self._terms, self._world.now
        waves = tuple(
            WaveSpec(
                name=f"wave {number}",
                share_until=share,
                success_share_min=terms.limits.success_share_min,
                failed_share_max=terms.limits.failed_share_max,
                silent_share_max=terms.limits.silent_share_max,
                sample_min=terms.limits.sample_min,
                soak_s=int(terms.limits.soak.total_seconds()),
            )
            for number, share in enumerate(terms.shares, 1)
        )
        spec = RolloutSpec(
            hardware_model=terms.hardware_model,
            version=terms.image.version,
            waves=waves,
            silent_after_s=int(terms.silent_after.total_seconds()),
            in_flight_max=terms.in_flight_max,
            attempts_max=terms.attempts_max,
            spread_s=terms.spread_s,
            salt=SALT,
        )
        rollout_id = service.create(spec, actor=ACTOR, now=now)
        service.start(rollout_id, actor=ACTOR, now=now)
        self._tick()

    def updated(self) -> int:
        """Return how many boxes the database calls updated."""
        query = select(func.count()).where(BoxInWave.state == "updated")
        return db.session.scalar(query) or 0

    def _tick(self) -> None:
        service.tick(self._world.now)
        self._publish()
        self._world.after(TICK_MS, self._tick)

    def _store_batch(self, batch: list[Message]) -> dict[str, list[str]]:
        found = [inbox.Incoming(one.topic, _spelt(one.payload)) for one in batch]
        stored = inbox.store(found, self._world.now)
        self._publish()
        return {box: [*ids] for box, ids in stored.counted.items()}

    def _publish(self) -> None:
        db.session.rollback()
        for row in db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)).all():
            self.desk.send(row.topic, self._opened(row.topic, row.payload))
            db.session.delete(row)
        unsent = RetainedMessage.sent_revision < RetainedMessage.revision
        for kept in db.session.scalars(select(RetainedMessage).where(unsent)).all():
            self.desk.retain(kept.topic, self._opened(kept.topic, kept.payload))
        db.session.execute(
            update(RetainedMessage).where(unsent).values(sent_revision=RetainedMessage.revision)
        )
        db.session.commit()

    def _opened(self, topic: str, payload: bytes) -> Any:
        """Return what a box without eyes for signatures is told; their check is paid for."""
        match topics.parse(topic).kind:
            case Down.ASSIGN:
                assign = messages.open_message(messages.Assign, payload, self._director)
                return Assigned(assign.assignment_seq, assign.assignment)
            case Down.LEASE:
                lease = messages.open_message(messages.Lease, payload, self._director)
                if lease.granted:
                    self._tell(facts.LeaseGiven(lease.device_id, 0, self._terms.in_flight_max))
                return lease
            case Model.WAVE:
                return self._covered(messages.decode(messages.Waves, payload))
            case _:
                return payload

    def _covered(self, waves: messages.Waves) -> Covered:
        opened = [
            messages.open_message(messages.Wave, text.encode(), self._director)
            for text in waves.waves
        ]
        return Covered(SALT, tuple((one.wave_id, one.cohort.share_parts or 0) for one in opened))


@contextmanager
def services(home: Path, street: Street, terms: Terms, ids: list[str]) -> Iterator[Services]:
    """Yield the services with *ids* enrolled, in an app context; *home* takes one key."""
    key = Ed25519PrivateKey.generate()
    (home / "keys").mkdir()
    pem = home / "keys" / "director.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    pem.chmod(0o600)
    (home / "keys" / "secret_key").write_text(secrets.token_hex(32))
    config = replace(settings.load(home, {}), database_url="sqlite:///:memory:")
    app = create_app(config, WITHOUT_PAGES)
    director = RoleKeys({keyid_of(key.public_key()): key.public_key()}, 1)
    with app.app_context():
        _fill(terms, ids, street.world)
        yield Services(street, director, terms)
        db.session.remove()
        db.engine.dispose()


def _fill(terms: Terms, ids: list[str], world: World) -> None:
    db.create_all()
    model, now = terms.hardware_model, world.now
    db.session.add(HardwareModel(name=model, title=model))
    db.session.flush()
    db.session.add_all(
        Device(
            id=device_id,
            serial=f"SN-{device_id}",
            hardware_model=model,
            zone="UTC",
            enrolled_at=now,
            version="1.0.0",
            security_version=SECURITY_VERSION,
        )
        for device_id in ids
    )
    image = terms.image
    db.session.add(
        Release(
            hardware_model=model,
            version=image.version,
            security_version=SECURITY_VERSION,
            target_path=f"{model}/{image.version}.img",
            sha256=image.sha256,
            size_bytes=len(image.data),
            provides=[],
            fixes=[],
            notes={"en": "Better."},
            signed_by=[],
            state=ReleaseState.PUBLISHED,
            published_at=now,
            published_by=ACTOR,
        )
    )
    db.session.commit()


def _spelt(payload: Any) -> bytes:
    return payload if isinstance(payload, bytes) else messages.encode(payload)
