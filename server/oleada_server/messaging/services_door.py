"""Our own processes at the broker's door for services: how a line is made and opened."""

import ssl
from typing import Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from oleada_server import broker
from oleada_server.config import Config
from oleada_server.enrolment.pki import SERVER_NAME
from oleada_server.messaging.connection import Connection, Heard

KEEPALIVE_S: Final = 120
"""A broker that lets in ten thousand boxes at once answers a ping late; taking it for dead
would have it deliver everything again. One that has died closes the connection at once."""


def new_line(config: Config, client_id: str, heard: Heard) -> Connection:
    """Return a connection that proves itself with the server's certificate; not opened yet."""
    pki = config.pki_dir
    line = Connection(heard, client_id=client_id)
    context = ssl.create_default_context(cafile=str(pki / "service-ca.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki / f"{SERVER_NAME}.pem", pki / f"{SERVER_NAME}.key")
    line.tls_set_context(context)
    return line


def open_line(
    line: Connection, config: Config, *, session_s: int = 0, receive_max: int | None = None
) -> None:
    """Connect *line*; the broker's answer comes later, to its ``on_connect``.

    Args:
        line: A new one.
        config: Says where the broker is.
        session_s: How long the broker keeps the session of a line that ended; 0 for not
            at all, and then a session that it still has is not gone on with either.
        receive_max: How many messages may be on their way to us; None for as many as MQTT can.

    Raises:
        OSError: The broker does not answer.
    """
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = session_s
    if receive_max is not None:
        properties.ReceiveMaximum = receive_max
    line.connect(
        broker.SERVICES_HOST,
        config.broker_services_port,
        KEEPALIVE_S,
        clean_start=session_s == 0,
        properties=properties,
    )
