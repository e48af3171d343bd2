"""Ten thousand boxes that the server knows already: rows and certificates, in bulk.

How a box enrols is another storm (first_contacts.py); one by one this would take longer
than the storm that needs them.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from oleada_server.db import chunks, db
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.enrolment import pki
from oleada_server.enrolment import service as enrolment
from sqlalchemy import insert

from oleada_lab.bench.identities import Identity
from oleada_lab.clock import now_utc
from oleada_lab.storm.ground import MODEL, Ground

DAYS = 90


def enrolled(ground: Ground, prefix: str, count: int) -> list[Identity]:
    """Return *count* boxes with serials that begin with *prefix*, none of them heard yet."""
    folder = ground.home / prefix
    folder.mkdir()
    now = now_utc()
    with ground.rows():
        authority = enrolment.device_authority()
        found = [_issue(authority, folder, f"{prefix}{number:06d}") for number in range(count)]
        devices.record_model(MODEL)
        for chunk in chunks(found):
            rows = [
                {"id": one.device_id, "serial": one.serial, "hardware_model": MODEL,
                 "enrolled_at": now}
                for one in chunk
            ]  # fmt: skip
            db.session.execute(insert(Device), rows)
        db.session.commit()
    return found


def _issue(authority: pki.Authority, folder: Path, serial: str) -> Identity:
    device_id = enrolment.new_device_id(MODEL)
    key = ec.generate_private_key(ec.SECP256R1())
    issued = pki.issue_device(authority, device_id, key.public_key(), now_utc(), DAYS)
    certificate_file, key_file = folder / f"{serial}.pem", folder / f"{serial}.key"
    certificate_file.write_bytes(issued.public_bytes(Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Identity(device_id, serial, MODEL, certificate_file, key_file)
