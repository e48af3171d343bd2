"""The bench of signatures counts what it says, and a million stays within its minute."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_lab.bench import signing
from oleada_server.rollouts.ticks import CHUNK_BOXES
from oleada_wire.envelope import KeySigner


def test_a_rate_is_what_was_counted() -> None:
    found = signing.measure(500)

    assert found["assignments"] == 500
    assert found["per_s_a_core"] > 0
    assert found["met"] is (found["million_cpu_s"] <= signing.LIMIT_S)
    assert found["merkle"]["hashes_a_proof"] == 9
    assert 150 < found["bytes_each"] - found["bytes_each_alone"] < 200


def test_what_is_measured_is_the_batches_that_the_server_signs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signed: list[bytes] = []
    sign = KeySigner.sign

    def counted(signer: KeySigner, data: bytes) -> bytes:
        signed.append(data)
        return sign(signer, data)

    monkeypatch.setattr(KeySigner, "sign", counted)
    chunk = signing._sealed(range(CHUNK_BOXES), KeySigner.of(Ed25519PrivateKey.generate()))

    assert (len(chunk), len(signed)) == (250, 16)


def test_one_quick_part_does_not_hide_slow_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_parts", lambda count, at_once, act: [10e-6, 200e-6])

    found = signing.measure(2)

    assert (found["million_cpu_s"], found["million_cpu_s_at_best"]) == (105.0, 10.0)
    assert found["met"] is False
