"""What the broker holds: every retained message under our prefix, asked for as a service."""

import hashlib
import secrets
import ssl
from collections.abc import Callable
from typing import Any, Final

from oleada_server import broker
from oleada_server.config import Config
from oleada_server.enrolment.pki import SERVER_NAME
from oleada_wire.topics import PREFIX
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from oleada_lab.clock import monotonic_s
from oleada_lab.errors import LabError

LIMIT_S: Final = 20.0
KEEPALIVE_S: Final = 30
MARK_TOPIC: Final = f"{PREFIX}/s/marked-by-the-lab"


def held_by_broker(config: Config) -> dict[str, str]:
    """Return the SHA-256 of each retained message by topic.

    A mark that is published after the subscription comes back after all of them.

    Raises:
        LabError: The broker does not answer, or not in time.
    """
    found: dict[str, str] = {}
    mark = secrets.token_hex(8).encode()
    done = False

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"{PREFIX}/#", qos=1)

    def on_subscribe(client: mqtt.Client, *_: Any) -> None:
        client.publish(MARK_TOPIC, mark, qos=1)

    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        nonlocal done
        done = done or message.payload == mark
        if message.retain and message.payload:
            found[message.topic] = hashlib.sha256(message.payload).hexdigest()

    client = service_client(config)
    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    try:
        client.connect(broker.SERVICES_HOST, config.broker_services_port, KEEPALIVE_S)
        _turn_until(client, lambda: done)
        client.disconnect()
    except OSError as error:
        raise LabError(f"The broker does not answer: {error}") from error
    finally:
        if (sock := client.socket()) is not None:
            sock.close()
    return found


def _turn_until(client: mqtt.Client, done: Callable[[], bool]) -> None:
    end_s = monotonic_s() + LIMIT_S
    while not done():
        if client.loop(0.1) != mqtt.MQTT_ERR_SUCCESS or monotonic_s() > end_s:
            raise LabError("The broker did not tell what it holds.")


def service_client(config: Config) -> mqtt.Client:
    """Return a client with the rights of the server's own processes, not connected yet."""
    pki = config.pki_dir
    context = ssl.create_default_context(cafile=str(pki / "service-ca.pem"))
    context.load_cert_chain(pki / f"{SERVER_NAME}.pem", pki / f"{SERVER_NAME}.key")
    name = f"oleada-lab-{secrets.token_hex(4)}"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
    client.tls_set_context(context)
    return client
