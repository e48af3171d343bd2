"""A data directory made ready: keys, certificates, database, broker, a token for the shell.

Every step may run again: what is there and good stays, so that ``oleada up`` simply
does all of it at each start.
"""

import errno
import socket
from dataclasses import replace
from datetime import datetime
from typing import Final

from flask import Flask
from oleada_store.keys import make_online_keys

from oleada_server import broker, client, gate, schema
from oleada_server import config as settings
from oleada_server.accounts import service as accounts
from oleada_server.accounts import tokens
from oleada_server.accounts.errors import TokenNotValidError, UserNotFoundError
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import SCOPES
from oleada_server.config import BadSettingError, Config
from oleada_server.enrolment import pki
from oleada_server.releases import service as releases

LOCAL_USER: Final = "local"
TOKEN_DAYS: Final = 365
PORTS: Final = {
    "web_port": "web_host",
    "door_port": "door_host",
    "broker_port": "broker_host",
    "broker_services_port": None,
}
"""Each port setting, and the setting of the address it is on (None: loopback)."""


def choose_ports(config: Config, given: frozenset[str]) -> Config:
    """Return *config* with free ports where a default is taken, and write them down.

    Args:
        config: The settings so far.
        given: Names that the file or the environment sets; those are never changed.
    """
    chosen: dict[str, int] = {}
    for name, host_name in PORTS.items():
        if name in given:
            continue
        host = getattr(config, host_name) if host_name else broker.SERVICES_HOST
        chosen[name] = _free_port(host, getattr(config, name), set(chosen.values()))
    config = replace(config, **chosen)  # type: ignore[arg-type]
    settings.write(config, list(chosen))
    return config


def initialise(app: Flask, now: datetime) -> None:
    """Make everything in the data directory of *app* that is missing or ends soon."""
    with app.app_context():
        config = settings.current()
        for directory in (config.tuf_dir, config.blobs_dir, config.logs_dir):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        config.data_dir.chmod(0o700)
        make_online_keys(config.keys_dir)
        make_certificates(config, now)
        schema.upgrade()
        gate.prepare(config, gate.revoked(now))
        releases.recover(now)
        _see_to_login(config, now)


def make_certificates(config: Config, now: datetime) -> None:
    """Make the CAs, and certificates of our own ends that are missing or end soon."""
    pki.make_authority(config.pki_dir, "device-ca", now)
    pki.make_authority(config.pki_dir, "service-ca", now)
    for name, host in (("broker", config.broker_host), ("door", config.door_host)):
        hosts = [config.public_host, host, "localhost", "127.0.0.1"]
        pki.make_server_end(config.pki_dir, name, [h for h in hosts if _is_name(h)], now)
    pki.make_client_end(config.pki_dir, pki.SERVER_NAME, now)


def _see_to_login(config: Config, now: datetime) -> None:
    """See to a token with which the command line on this machine may ask the server."""
    try:
        token = client.read_login(config.data_dir).get("token", "")
        tokens.find_token(token, now)
    except (TokenNotValidError, client.NoServerError):
        token = _new_token(now)
    client.write_login(config.data_dir, config.console_url, token)


def _new_token(now: datetime) -> str:
    """Return a token of the local user; empty when somebody has shut that user out."""
    actor = "system:init"
    try:
        if accounts.find_user(LOCAL_USER).disabled_at is not None:
            return ""
    except UserNotFoundError:
        accounts.add_user(
            LOCAL_USER,
            full_name="Command line on the server's machine",
            role=Role.ADMIN,
            actor=actor,
            now=now,
        )
    return tokens.create_token(
        LOCAL_USER, "oleada init", SCOPES, actor=actor, now=now, days=TOKEN_DAYS, is_local=True
    )


def _is_name(host: str) -> bool:
    """Return whether a certificate can name *host*; ``0.0.0.0`` means every address."""
    return host not in {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not bound


def _free_port(host: str, wanted: int, taken: set[int]) -> int:
    if wanted not in taken and is_free(host, wanted):
        return wanted
    with socket.socket() as found:
        found.bind((host, 0))
        port: int = found.getsockname()[1]
        return port


def is_free(host: str, port: int) -> bool:
    """Return whether one could listen on *port* of *host*.

    Raises:
        BadSettingError: nobody could, whether it is free or not.
    """
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise BadSettingError(
                f"Nothing can listen on port {port} of {host!r} ({error.strerror}); correct that "
                "address or port in oleada.toml."
            ) from error
    return True
