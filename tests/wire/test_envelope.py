"""Attacks on signed envelopes, each refused for its own reason."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_wire import canonical, envelope
from oleada_wire.envelope import KeySigner, RoleKeys, open_sealed, seal
from oleada_wire.errors import BadSignatureError, MalformedMessageError, MessageTooLargeError

ONE, TWO, STRANGER = (KeySigner.of(Ed25519PrivateKey.generate()) for _ in range(3))
KEYS = {signer.keyid: signer.key.public_key() for signer in (ONE, TWO)}
BOTH = RoleKeys(KEYS, 2)
EITHER = RoleKeys(KEYS, 1)
PAYLOAD = {"v": 1, "verb": "ping"}


def changed(data: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(data), **changes}).encode()


def test_what_enough_keys_sign_is_opened() -> None:
    assert open_sealed("cmd", seal("cmd", PAYLOAD, [ONE, TWO]), BOTH) == PAYLOAD
    assert open_sealed("cmd", seal("cmd", PAYLOAD, [STRANGER, TWO]), EITHER) == PAYLOAD


@pytest.mark.parametrize("signers", [[], [ONE], [STRANGER], [ONE, STRANGER], [ONE, ONE]])
def test_fewer_distinct_keys_than_the_threshold_open_nothing(signers: list[KeySigner]) -> None:
    with pytest.raises(BadSignatureError, match="of 2 needed"):
        open_sealed("cmd", seal("cmd", PAYLOAD, signers), BOTH)


def test_an_assignment_does_not_pass_for_a_command() -> None:
    data = seal("assign", PAYLOAD, [ONE])

    with pytest.raises(MalformedMessageError, match="assign"):
        open_sealed("cmd", data, EITHER)
    relabelled = changed(data, payloadType=envelope.payload_type("cmd"))
    with pytest.raises(BadSignatureError):
        open_sealed("cmd", relabelled, EITHER)


def test_a_changed_payload_is_not_what_was_signed() -> None:
    other = base64.b64encode(canonical.dumps({"v": 1, "verb": "wipe"})).decode()

    with pytest.raises(BadSignatureError):
        open_sealed("cmd", changed(seal("cmd", PAYLOAD, [ONE]), payload=other), EITHER)


def test_a_signature_under_another_keys_name_is_none() -> None:
    data = json.loads(seal("cmd", PAYLOAD, [STRANGER]))
    data["signatures"][0]["keyid"] = ONE.keyid

    with pytest.raises(BadSignatureError):
        open_sealed("cmd", json.dumps(data).encode(), EITHER)


@pytest.mark.parametrize(
    "changes",
    [
        {"signatures": None},
        {"signatures": [{}]},
        {"signatures": ["x"]},
        {"signatures": [{"keyid": "x", "sig": "***"}]},
        {"signatures": [{"keyid": "x", "sig": 1}]},
        {"signatures": [{"keyid": "x", "sig": ""}] * 17},
        {"payload": "***"},
        {"payload": 1},
        {"payload": None},
        {"payloadType": None},
        {"payloadType": "application/json"},
    ],
)
def test_a_damaged_envelope_is_malformed_and_nothing_worse(changes: dict[str, Any]) -> None:
    with pytest.raises((MalformedMessageError, BadSignatureError)):
        open_sealed("cmd", changed(seal("cmd", PAYLOAD, [ONE]), **changes), EITHER)


@pytest.mark.parametrize("length", [0, 1, 63, 65])
def test_a_signature_of_a_wrong_length_is_no_signature(length: int) -> None:
    signature = base64.b64encode(bytes(length)).decode()
    data = changed(seal("cmd", PAYLOAD, [ONE]), signatures=[{"keyid": ONE.keyid, "sig": signature}])

    with pytest.raises(BadSignatureError):
        open_sealed("cmd", data, EITHER)


def test_a_signed_payload_that_is_no_strict_json_is_still_refused() -> None:
    body = b'{"v":1,"v":2}'
    signed = b"DSSEv1 %d %s %d %s" % (
        len(envelope.payload_type("cmd")), envelope.payload_type("cmd").encode(), len(body), body,
    )  # fmt: skip
    data = canonical.dumps(
        {
            "payload": base64.b64encode(body).decode(),
            "payloadType": envelope.payload_type("cmd"),
            "signatures": [
                {"keyid": ONE.keyid, "sig": base64.b64encode(ONE.sign(signed)).decode()}
            ],
        }
    )

    with pytest.raises(MalformedMessageError, match="stands twice"):
        open_sealed("cmd", data, EITHER)


def test_an_envelope_beyond_the_limit_is_not_parsed() -> None:
    with pytest.raises(MessageTooLargeError):
        open_sealed("cmd", b" " * (envelope.ENVELOPE_BYTES_MAX + 1), EITHER)


def test_a_role_that_nobody_must_sign_can_not_be_made() -> None:
    with pytest.raises(AssertionError):
        RoleKeys(KEYS, 0)


def test_key_ids_are_those_of_the_update_framework() -> None:
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415

    assert CryptoSigner(ONE.key).public_key.keyid == ONE.keyid
