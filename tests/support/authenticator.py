"""A passkey in software: signs what a browser would let it sign, and what it would not."""

import base64
import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, ATTESTED = 0x01, 0x40
"""Flags of the authenticator data (WebAuthn level 2, 6.1)."""


def spelt(raw: bytes) -> str:
    """Return *raw* in base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(slots=True)
class Authenticator:
    """One P-256 key; *origin* and *rp_id* are what the browser says of the page."""

    origin: str
    rp_id: str
    credential_id: bytes = b"a credential of sixteen"
    count: int = 0
    flags: int = PRESENT
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(
        ec.SECP256R1()))  # fmt: skip

    def enrol(self, asked: str) -> str:
        """Return the answer to the question of a registration."""
        numbers = self.key.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        key = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})
        size = len(self.credential_id).to_bytes(2, "big")
        held = bytes(16) + size + self.credential_id + key
        attested = {"fmt": "none", "attStmt": {}, "authData": self._data(ATTESTED) + held}
        response = {
            "clientDataJSON": spelt(self._client("webauthn.create", asked)),
            "attestationObject": spelt(cbor2.dumps(attested)),
        }
        return self._answer(response)

    def sign(self, asked: str) -> str:
        """Return the answer to the question of a proof; each is counted."""
        self.count += 1
        client, data = self._client("webauthn.get", asked), self._data(0)
        signature = self.key.sign(data + sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": spelt(client),
            "authenticatorData": spelt(data),
            "signature": spelt(signature),
        }
        return self._answer(response)

    def _client(self, kind: str, asked: str) -> bytes:
        challenge = json.loads(asked)["challenge"]
        found = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(found).encode()

    def _data(self, more: int) -> bytes:
        flags = bytes([self.flags | more])
        return sha256(self.rp_id.encode()).digest() + flags + self.count.to_bytes(4, "big")

    def _answer(self, response: dict[str, Any]) -> str:
        name = spelt(self.credential_id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})
