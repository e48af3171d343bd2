"""On PostgreSQL the server's role adds to the audit trail and can do nothing else to it."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from click.testing import CliRunner
from flask import Flask
from oleada_server.accounts import service as accounts
from oleada_server.accounts.models import Role
from oleada_server.app import create_app
from oleada_server.audit import checked, grants, heads
from oleada_server.audit.models import APPEND_ONLY
from oleada_server.cli_run import db_group
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.errors import BadInputError
from oleada_server.rollouts import service as rollouts
from oleada_store.keys import read_online, write_public
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.server.rollouts import fleet
from tests.support.postgres import Cluster

ROLE = "oleada_server"
DENIED = [
    f"{verb} {table}{rest}"
    for table in APPEND_ONLY
    for verb, rest in (
        ("UPDATE", " SET at = at"), ("DELETE FROM", ""), ("TRUNCATE", ""), ("DROP TABLE", ""),
        ("ALTER TABLE", " DISABLE TRIGGER ALL"), ("ALTER TABLE", " ADD COLUMN x int"),
        (f"DROP TRIGGER {table}_no_change ON", ""), ("LOCK", " IN ACCESS EXCLUSIVE MODE"),
    )
] + [
    "CREATE OR REPLACE FUNCTION audit_only_added_to() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RETURN NEW; END $$",
    "SET session_replication_role = replica",
    "UPDATE alembic_version SET version_num = '0001'",
]  # fmt: skip


@pytest.fixture
def app(postgresql_config: Config, cluster: Cluster) -> Iterator[Flask]:
    """A server on PostgreSQL that works with a role of its own."""
    owner = postgresql_config.database_url
    database = owner.rpartition("/")[2]
    with psycopg.connect(owner.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num text)")
        connection.execute(f"CREATE ROLE {ROLE} LOGIN")
        for statement in grants.statements(ROLE):
            connection.execute(statement)
    keys = postgresql_config.keys_dir
    director = read_online(keys / "director.pem").public_key()
    write_public(keys / "online-public.json", {"director": director})
    url = owner.replace("postgres@", f"{ROLE}@")
    found = create_app(replace(postgresql_config, database_url=url), ())
    with found.app_context():
        yield found
        db.session.remove()
        db.engine.dispose()
    cluster.cut_off(database)
    with psycopg.connect(owner.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP TABLE alembic_version")
        connection.execute(f"DROP OWNED BY {ROLE}")
        connection.execute(f"DROP ROLE {ROLE}")


@pytest.mark.real
def test_the_server_works_and_can_not_touch_what_is_in_the_trail(app: Flask) -> None:
    accounts.add_user("ana", full_name="Ana", role=Role.OPERATOR, actor="system:t", now=now_utc())
    fleet.a_fleet(3)
    fleet.a_release()
    fleet.started(fleet.a_plan())
    rollouts.tick(fleet.NOON)
    heads.sign(now_utc())

    for statement in DENIED:
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
            db.session.execute(text(statement))
        db.session.rollback()

    found = checked.everything()
    assert (found.is_whole, found.heads) == (True, 1)
    assert found.entries >= 3


def test_the_command_prints_what_the_owner_runs() -> None:
    found = CliRunner().invoke(db_group, ["grants", ROLE])

    assert found.output.splitlines() == list(grants.statements(ROLE))
    assert f"REVOKE UPDATE, DELETE, TRUNCATE ON audit_event, audit_head FROM {ROLE};" in (
        found.output
    )


@pytest.mark.parametrize("role", ["", "a b", 'x"; DROP ROLE postgres; --', "X", "a" * 64, "1a"])
def test_a_name_that_could_be_more_than_a_name_is_refused(role: str) -> None:
    with pytest.raises(BadInputError):
        list(grants.statements(role))
