"""The settings of one box: ``data/config.toml``, checked before anything is done with them.

A box that starts with a misspelt setting looks well and is not, so an unknown key is an
error. The table of settings is docs/reference/agent-settings.md.
"""

import tomllib
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from oleada_wire.ids import is_hardware_model

from oleada_agent import overrides
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError
from oleada_agent.reconnect import CONNECT_SPREAD_S

FILE: Final = "data/config.toml"
SERIAL_CHARS_MAX: Final = 64


class ConfigError(AgentError):
    """The settings of this box can not be used; the message says which and why."""

    code = "config"


@dataclass(frozen=True, slots=True)
class Config:
    """What the maker and the installer decided for this box.

    Attributes:
        serial: As printed on the box.
        hardware_model: Such as ``VX-410``.
        enrol_url: Of the device door; without a path, ``/device/v1/enrol`` of it.
        ca_file: PEM of the authority that signs the door's certificate; beside ``config.toml``.
        claim_token_file: Holds the one-time token; beside ``config.toml``.
        mac: Of the first network interface, for people; None when unknown.
        zone: IANA name, for windows; the server's answer at enrolment replaces ``UTC``.
        provides: What the hardware can do, such as ``codec:hevc-main10``.
        health_s: Between two looks at the box.
        health_batch: So many of them are told of together.
        connect_spread_s: The first connection after power-on waits a random part of this.
        keepalive_s: Of the MQTT connection.
        trial_s: A new slot must prove itself in this time.
        settle_s: It must be well for so long on end.
        player_s: The media player must be ready after this time.
        temperature_max_c: Hotter, and the box does not start an update.
        free_bytes_min: Less, and a new slot's trial fails.
        slot_bytes: The largest image a slot takes.
        download_bytes_per_s_max: Of the household's line; 0 for all of it.
        profile: ``normal``, or ``frugal`` where every byte is paid for.
        denied_actions: What this box does for nobody, whoever signs it; ``*`` for all.
        test_hosts: With which loading and echo tests may be done; none if empty.
        logs: Files beside the agent's own that ``log_pull`` may read, by whole paths.
    """

    serial: str
    hardware_model: str
    enrol_url: str
    ca_file: str = "server-ca.pem"
    claim_token_file: str = "claim-token"  # noqa: S105 - the name of a file
    mac: str | None = None
    zone: str = "UTC"
    provides: tuple[str, ...] = ()
    health_s: int = 300
    health_batch: int = 1
    connect_spread_s: int = CONNECT_SPREAD_S
    keepalive_s: int = 60
    trial_s: int = 600
    settle_s: int = 5
    player_s: int = 60
    temperature_max_c: int = 85
    free_bytes_min: int = 1 << 20
    slot_bytes: int = 8 << 30
    download_bytes_per_s_max: int = 0
    profile: str = "normal"
    denied_actions: tuple[str, ...] = ()
    test_hosts: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()


AT_START: Final = frozenset({"download_bytes_per_s_max"})
"""Settings that may be changed from afar and are looked at only when the agent starts."""
LISTS: Final = frozenset({"provides", "denied_actions", "test_hosts", "logs"})
PROFILES: Final[dict[str, dict[str, int]]] = {
    "normal": {"health_s": 300, "health_batch": 1, "keepalive_s": 60},
    "frugal": {"health_s": 3_600, "health_batch": 24, "keepalive_s": 1_200},
}
"""What a profile sets where nothing else is said."""
RANGES: Final = {
    "health_s": (1, 86_400),
    "health_batch": (1, 64),
    "connect_spread_s": (0, 3_600),
    "keepalive_s": (5, 3_600),
    "trial_s": (5, 86_400),
    "settle_s": (0, 3_600),
    "player_s": (1, 3_600),
    "temperature_max_c": (30, 125),
    "free_bytes_min": (0, 1 << 40),
    "slot_bytes": (1 << 20, 1 << 40),
    "download_bytes_per_s_max": (0, 1 << 40),
}


def load(box: Path) -> Config:
    """Return the settings of the box in directory *box*.

    Raises:
        ConfigError: there are none, or one of them can not be used.
    """
    path = box / FILE
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} can not be read ({error.strerror}). Write one with at least serial, "
            "hardware_model and enrol_url."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}. Correct the file.") from error
    return _with_changes(parse(found, str(path)), box)


def needs_start(before: Config, after: Config) -> bool:
    """Return whether what differs is looked at only when the agent starts."""
    return any(getattr(before, name) != getattr(after, name) for name in AT_START)


def check_one(box: Path, name: str, value: int | str) -> None:
    """Refuse *value* for setting *name* of the box in directory *box*.

    Raises:
        ConfigError: the box would not take it.
    """
    _check(replace(load(box), **{name: _typed(name, value, FILE)}), FILE)


def _with_changes(config: Config, box: Path) -> Config:
    """Return *config* with what was changed from afar, as far as it can be used."""
    for name, value in _named_by_profile(overrides.read(RealDisk(box))).items():
        with suppress(ConfigError):
            changed = replace(config, **{name: _typed(name, value, overrides.FILE)})
            _check(changed, overrides.FILE)
            config = changed
    return config


def parse(found: dict[str, Any], where: str) -> Config:
    """Return the settings in *found*; *where* names their file in errors.

    Raises:
        ConfigError: a key is unknown, missing, of a wrong type or out of range.
    """
    known = {field.name: field for field in fields(Config)}
    if unknown := sorted(set(found) - set(known)):
        raise ConfigError(
            f"{where}: {unknown[0]!r} is not a setting. Known are: {', '.join(sorted(known))}."
        )
    needed = [name for name, field in known.items() if field.default is MISSING]
    if missing := [name for name in needed if name not in found]:
        raise ConfigError(f"{where}: {missing[0]!r} is missing. Add it.")
    values = {name: _typed(name, value, where) for name, value in found.items()}
    by_profile = PROFILES.get(str(values.get("profile", "normal")), {})
    config = Config(**{**by_profile, **values})
    _check(config, where)
    return config


def _named_by_profile(changes: dict[str, int | str]) -> dict[str, int | str]:
    """Return *changes* with what a changed profile brings along."""
    return {**PROFILES.get(str(changes.get("profile")), {}), **changes}


def _typed(name: str, value: Any, where: str) -> Any:
    if name in LISTS:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{where}: {name!r} must be a list of texts.")
        return tuple(value)
    kind = int if name in RANGES else str
    if type(value) is not kind:
        wanted = "a whole number" if kind is int else "a text in quotes"
        raise ConfigError(f"{where}: {name!r} is {value!r}; {wanted} was expected.")
    return value


def _check(config: Config, where: str) -> None:
    for name, (least, most) in RANGES.items():
        value = getattr(config, name)
        if not least <= value <= most:
            raise ConfigError(f"{where}: {name!r} is {value}; {least} to {most} was expected.")
    if not 0 < len(config.serial) <= SERIAL_CHARS_MAX:
        raise ConfigError(f"{where}: 'serial' must have 1 to {SERIAL_CHARS_MAX} characters.")
    if not is_hardware_model(config.hardware_model):
        raise ConfigError(
            f"{where}: 'hardware_model' is {config.hardware_model!r}; a name such as VX-410 "
            "was expected."
        )
    if config.profile not in PROFILES:
        raise ConfigError(
            f"{where}: 'profile' is {config.profile!r}; {' or '.join(PROFILES)} was expected."
        )
    _check_denied(config.denied_actions, where)
    check_https("enrol_url", config.enrol_url, where)
    check_zone(config.zone, where)


def _check_denied(names: tuple[str, ...], where: str) -> None:
    """Refuse a name that is no action: misspelt, it would deny nothing."""
    if not names:
        return
    from oleada_wire.action_table import TABLE  # noqa: PLC0415 - few boxes deny anything

    known = {action.name for action in TABLE}
    if unknown := sorted(set(names) - known - {"*"}):
        raise ConfigError(f"{where}: 'denied_actions' has {unknown[0]!r}, which is no action.")


def check_https(name: str, url: str, where: str) -> None:
    """Refuse a URL that is not whole or not encrypted.

    Raises:
        ConfigError: *url* is not ``https://host[:port]/…``.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "https" or not parts.hostname or port == 0:
        raise ConfigError(
            f"{where}: {name!r} is {url!r}; an address that begins with https:// was expected."
        )


def check_zone(zone: str, where: str) -> None:
    """Refuse a zone that this box does not know.

    Raises:
        ConfigError: *zone* is not an IANA name.
    """
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only when settings are read

    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError) as error:
        raise ConfigError(
            f"{where}: 'zone' is {zone!r}; an IANA name such as Europe/Prague was expected."
        ) from error
