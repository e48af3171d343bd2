"""``oleada init, up, web, door, worker, scheduler, db``: the server's own processes."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import Flask

from oleada_server import config as settings
from oleada_server import logs, schema
from oleada_server import up as whole
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.audit import grants
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.restored import check_finished


def _say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def _app() -> Iterator[Flask]:
    """Yield the app without pages, its context pushed and its connections closed after."""
    config = settings.load()
    check_finished(config.data_dir)
    logs.configure(config.log_level)
    app = create_app(config, WITHOUT_PAGES)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@click.command()
def init() -> None:
    """Make what is missing in the data directory: keys, certificates, database, broker set-up.

    Safe to repeat: what is there and good stays.
    """
    config = whole.prepare(settings.data_dir())
    _say(f"{config.data_dir} is ready; `oleada up` starts the server.")
    _say(f"The signer needs {config.keys_dir / 'online-public.json'} for the key ceremony.")


@click.command()
def up() -> None:
    """Run everything on this machine until Ctrl-C: broker, web, device door, worker, scheduler."""
    whole.up(settings.data_dir(), _say)


@click.command()
def web() -> None:
    """Run console and REST (gunicorn)."""
    _become(whole.web_command(_made_ready()))


@click.command()
def door() -> None:
    """Run the device door (gunicorn, HTTPS)."""
    _become(whole.door_command(_made_ready()))


def _plain_name(_context: click.Context, _option: click.Parameter, name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise click.BadParameter("A worker's name is 1 to 40 letters, digits, '-' or '_'.")
    return name


@click.command()
@click.option(
    "--name",
    default="1",
    show_default=True,
    callback=_plain_name,
    help="Tells several workers apart.",
)
def worker(name: str) -> None:
    """Run one worker: inbox and outbox. Several share the load."""
    from oleada_server import worker as work  # noqa: PLC0415 - paho only where it is needed

    with _app() as app:
        schema.check_current()
        work.run(app, settings.current(), name)


@click.command()
def scheduler() -> None:
    """Run the scheduler: one of several leads, the others stand by."""
    from oleada_server import scheduler as schedule  # noqa: PLC0415 - see worker

    with _app() as app:
        schema.check_current()
        schedule.run(app)


@click.group("db")
def db_group() -> None:
    """The database: upgrade it, show its revision."""


@db_group.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the database up to REVISION, by default this code's."""
    with _app():
        schema.upgrade(revision)
        _say(f"The database has revision {schema.current()}.")


@db_group.command()
@click.argument("revision")
@click.confirmation_option(prompt="This removes columns and tables with what is in them. Go on?")
def downgrade(revision: str) -> None:
    """Bring the database down to REVISION; 'base' removes everything."""
    with _app():
        schema.downgrade(revision)
        _say(f"The database has revision {schema.current() or 'none'}.")


@db_group.command()
def current() -> None:
    """Show the database's revision and the one this code needs."""
    with _app():
        _say(f"database {schema.current() or 'none'}, code {schema.head()}")


@db_group.command("grants")
@click.argument("role")
def show_grants(role: str) -> None:
    """Print the SQL by which PostgreSQL's ROLE can be the server's and not touch the audit trail.

    Run it as the owner of the database, who also runs `oleada db upgrade`.
    """
    for statement in grants.statements(role):
        _say(statement)


def _made_ready() -> Config:
    config = settings.load()
    check_finished(config.data_dir)
    if not (config.pki_dir / "door.pem").exists():
        raise whole.NotReadyError(f"{config.data_dir} is not made ready; run `oleada init` first.")
    return config


def _become(command: list[str]) -> None:
    os.environ["OLEADA_DATA_DIR"] = str(settings.data_dir().resolve())
    os.execv(command[0], command)  # noqa: S606 - a list we built, without a shell
