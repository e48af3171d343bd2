"""What tests ask of real processes: free ports for a server, and that nothing is left."""

from pathlib import Path

import psutil

from tests.support.postgres import free_port

PORTS = ("web_port", "door_port", "broker_port", "broker_services_port")


def own_ports() -> dict[str, int]:
    """Return settings that give a server ports nobody listens on."""
    return {name: free_port() for name in PORTS}


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of every process that names *folder* or works in it."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        words = process.info["cmdline"] or []
        home = (process.info["environ"] or {}).get("OLEADA_DATA_DIR", "")
        is_dead = process.info["status"] == psutil.STATUS_ZOMBIE
        if not is_dead and any(str(folder) in text for text in (*words, home)):
            found.append(" ".join(words))
    return found
