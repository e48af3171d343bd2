"""The short form of ``oleada-lab fuzz trust``, and proof that it would notice."""

import json
from random import Random

import pytest
from oleada_agent.trust import keys
from oleada_agent.trust.client import TrustedClient
from oleada_agent.trust.errors import TrustError
from oleada_lab import cli
from oleada_lab.fuzz import damage, readers, run, trust
from oleada_lab.fuzz.readers import ACCEPTS
from oleada_wire import batch, envelope


def test_no_damage_makes_a_box_crash_or_trust_what_was_not_signed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = cli.main(["fuzz", "trust", "--count", "1600", "--seed", "3", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert found["failures"] == []
    assert (status, found["met"]) == (0, True)
    assert (found["metadata"], found["messages"]) == (400, 1200)
    compared = sum(found["both_say"].values()) + sum(found["stricter"].values())
    assert compared + sum(found["refused_and_not_compared"].values()) == 400
    assert set(found["stricter"]) <= {one.__name__ for one in TrustError.__subclasses__()}
    assert len(found["damages"]) == 13
    assert found["messages_refused"]["BadSignatureError"] > 0
    assert found["messages_refused"]["BadBatchError"] > 0


def test_one_case_of_a_seed_is_the_same_every_time() -> None:
    assert trust.play(5, [8, 9]).to_json()["damages"] == trust.play(5, [8, 9]).to_json()["damages"]


def test_both_readers_accept_what_is_whole() -> None:
    repository, first = trust._repository(3)

    box, target = readers.ours(first, repository.files, trust.PATH)
    reference, _ = readers.theirs(first, repository.files, trust.PATH)

    assert (box, reference) == (ACCEPTS, ACCEPTS)
    assert target is not None


def test_a_verifier_that_checks_no_signature_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys.Key, "is_signed", lambda *_: True)

    tally = trust.play(1, range(0, 1200, 4))

    assert not run.is_met(tally)
    assert "accepted, but python-tuf says" in " ".join(tally.failures)


def test_a_verifier_that_never_calls_anything_expired_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TrustedClient, "_refuse_expired", lambda *_: None)

    assert not run.is_met(trust.play(1, range(0, 4000, 4)))


def test_an_envelope_that_is_believed_unsigned_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "is_signed", lambda *_: True)

    tally = trust.play(1, [n for n in range(4000) if n % 4])

    assert any("believed, and never signed" in failure for failure in tally.failures)


def test_a_path_that_is_not_followed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the signature of a batch were good for whatever claims to be of it."""
    said = next(one for one in trust._said()[0] if one.places)
    body, [signature, *_] = envelope.parts("assign", json.loads(said.data))
    assert signature.place is not None
    signed = envelope.pre_authentication(envelope.payload_type("assign"), body)
    root = batch.root_of(signed, signature.place)
    monkeypatch.setattr(batch, "root_of", lambda *_: root)

    tally = trust.play(1, [n for n in range(2000) if n % 4])

    assert any("Assign: believed, and never signed" in failure for failure in tally.failures)


def test_a_crash_is_told_with_its_seed_and_case(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(envelope, "parts", crash)

    tally = trust.play(7, [1, 2, 3, 5, 6, 7])

    assert tally.failures
    assert tally.failures[0].startswith("seed 7, case ")


@pytest.mark.parametrize("kind", sorted(damage._BYTES))
def test_every_damage_of_bytes_changes_something_in_some_draw(kind: str) -> None:
    data = json.dumps({"signed": {"version": 1}}).encode()

    assert any(damage._BYTES[kind](data, Random(n)) != data for n in range(20))
