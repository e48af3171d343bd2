"""A broker whose configuration somebody has changed is told of, in words."""

from dataclasses import replace
from datetime import UTC, datetime

from flask import Flask
from oleada_server import gate
from oleada_server.config import Config
from oleada_server.enrolment import pki
from oleada_server.system import sentences
from oleada_server.system.facts import gather
from oleada_server.system.judge import Code, Facts, judge

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WELL = Facts(database_ms=1.0)


def test_a_broker_with_its_generated_rules_is_no_matter() -> None:
    assert judge(WELL, NOON) == []


def test_a_rule_that_is_missing_is_named() -> None:
    (found,) = judge(replace(WELL, broker_rules=("require_certificate true", "x")), NOON)

    assert (found.code, found.kind) == (Code.BROKER_RULES, "bad")
    assert "require_certificate true" in sentences.said(found).text


def test_the_file_itself_is_looked_at(sqlite_app: Flask) -> None:
    config: Config = sqlite_app.extensions["oleada_config"]
    pki.make_authority(config.pki_dir, "device-ca", NOON)
    path = gate.prepare(config)
    assert gather(config, NOON).broker_rules == ()

    path.write_text(path.read_text().replace("require_certificate true", "", 1))

    assert gather(config, NOON).broker_rules != ()
