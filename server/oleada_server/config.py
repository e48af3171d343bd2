"""Settings: one frozen value, read once from ``oleada.toml`` and the environment.

A setting stands in ``<data directory>/oleada.toml`` under its name, or in the
environment as ``OLEADA_<NAME>``, which wins. An unknown name in the file and a value of
the wrong kind are refused, because a limit that is misread must not become "no limit".
Every setting is described in docs/reference/settings.md, which a test compares.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from flask import current_app

from oleada_server.errors import ServerError

FILE_NAME: Final = "oleada.toml"
DATA_DIR_DEFAULT: Final = Path("var/oleada")
DATABASES: Final = ("sqlite:///", "postgresql+psycopg://")
DAY_S: Final = 86_400


class Approval(StrEnum):
    """Which rollouts a second person has to approve (setting ``rollout_approval``)."""

    ALWAYS = "always"
    CONSOLE = "console"
    NEVER = "never"


class SecondFactor(StrEnum):
    """Who has to enrol a second factor (setting ``second_factor``)."""

    REQUIRED = "required"
    OFFERED = "offered"


class TwoPersons(StrEnum):
    """Whether giving rights and revoking many boxes takes two (setting ``two_persons``)."""

    ON = "on"
    OFF = "off"


class BadSettingError(ServerError):
    """A setting is unknown, of the wrong kind or out of range."""

    status = 500
    code = "bad-setting"


def _setting(default: Any, says: str, *, low: int | None = None, high: int | None = None) -> Any:
    return field(default=default, metadata={"says": says, "low": low, "high": high})


def _port(default: int, says: str) -> Any:
    return _setting(default, says, low=1, high=65_535)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting; see docs/reference/settings.md for what each means.

    Attributes:
        data_dir: Where everything lies; its layout is in how-the-parts-fit.md.
    """

    data_dir: Path
    database_url: str = _setting(
        "", "SQLAlchemy URL of the database; empty for SQLite in `oleada.db`."
    )
    web_host: str = _setting("127.0.0.1", "Address on which console and REST listen.")
    web_port: int = _port(8080, "Port of console and REST.")
    web_workers: int = _setting(1, "Processes of the web.", low=1, high=64)
    web_threads: int = _setting(
        32, "Threads of each web process; every open live page takes one.", low=1, high=1024
    )
    public_url: str = _setting(
        "", "Address that people type; empty for `http://<web_host>:<web_port>`."
    )
    door_host: str = _setting("127.0.0.1", "Address on which the device door (HTTPS) listens.")
    door_port: int = _port(8443, "Port of the device door.")
    door_threads: int = _setting(16, "Threads of the device door.", low=1, high=1024)
    broker_host: str = _setting("127.0.0.1", "Address on which the broker listens for boxes.")
    broker_port: int = _port(8883, "Port of the broker for boxes (TLS, client certificates).")
    broker_services_port: int = _port(
        8884, "Port of the broker for our own processes (TLS, loopback only)."
    )
    public_host: str = _setting(
        "127.0.0.1", "Name or address under which boxes reach device door and broker."
    )
    claim_ttl_s: int = _setting(
        30 * DAY_S, "How long a claim token may be used, in seconds.", low=60, high=366 * DAY_S
    )
    enrol_tries_per_minute: int = _setting(
        30,
        "Vain tries to enrol from one address (or IPv6 /64), and repeated ones with one token, "
        "in a minute; more are answered 429.",
        low=1,
        high=1_000_000,
    )
    certificate_days: int = _setting(
        90, "How long a box's certificate is valid, in days.", low=1, high=825
    )
    image_bytes_max: int = _setting(8 * 1024**3, "Largest image that is accepted, in bytes.", low=1)
    silent_after_s: int = _setting(
        900, "A box that was not heard for so long counts as silent, in seconds.", low=1
    )
    health_keep_days: int = _setting(30, "How long health samples are kept, in days.", low=1)
    event_keep_days: int = _setting(90, "How long logs and crashes are kept, in days.", low=1)
    zap_ms_max: int = _setting(
        4000,
        "A box whose slowest change of channel takes longer has a bad hour, in milliseconds.",
        low=1,
    )
    lost_frames_max: int = _setting(
        250,
        "So has one whose decoder lost more frames since its health message before.",
        low=0,
    )
    underruns_max: int = _setting(
        6, "So has one whose buffer ran empty more often since that.", low=0
    )
    inbox_batch_max: int = _setting(
        1000, "Most messages that the worker stores in one transaction.", low=1, high=10_000
    )
    inbox_batch_wait_ms: int = _setting(
        50, "How long the worker waits for a batch to fill, in milliseconds.", low=1, high=5_000
    )
    box_messages_per_minute: int = _setting(
        120,
        "Messages that one box may send for ever, a minute: of what matters (hello, lease, "
        "report, result) and of telemetry apart. One larger than 4 KiB counts once for each "
        "4 KiB begun.",
        low=1,
        high=10_000_000,
    )
    box_messages_burst: int = _setting(
        1000,
        "Messages that one box may send at once after a silence, of each of the two.",
        low=100,
        high=10_000_000,
    )
    disk_low_bytes: int = _setting(
        2 * 1024**3,
        "Less free room than this on a disk of the server is told on every page.",
        low=0,
    )
    disk_keep_bytes: int = _setting(
        128 * 1024**2,
        "Room that no image may take, so that the database can go on; less counts as a full disk.",
        low=0,
    )
    rollout_approval: str = _setting(
        "console",
        "Which rollouts a second person has to approve: those planned in the `console`, "
        "`always` all, or `never` any.",
    )
    second_factor: str = _setting(
        "required",
        "Whether release signers, approvers, device-CA admins, user admins and administrators "
        "need a second factor: `required`, or `offered` to whoever wants one.",
    )
    two_persons: str = _setting(
        "on",
        "Whether a second person confirms that somebody gets a role that guards something, that "
        "their second factors are reset, and that many boxes are revoked at once: `on`, or `off`. "
        "Who is the only one that gives roles gives them alone.",
    )
    revoke_alone_max: int = _setting(
        20,
        "Boxes that one person may revoke in an hour; more take two persons, or the server's own "
        "command line.",
        low=1,
    )
    session_idle_minutes: int = _setting(
        480, "A browser that was not used for so long is signed out, in minutes.", low=6, high=10080
    )
    session_hours: int = _setting(
        168, "A browser is signed out after so many hours, however busy it is.", low=1, high=744
    )
    guarded_idle_minutes: int = _setting(
        15,
        "The same for release signers, approvers, device-CA admins, user admins and "
        "administrators; the shorter of the two counts, and an open live page is no use.",
        low=2,
        high=10080,
    )
    guarded_hours: int = _setting(
        8, "The same as `session_hours` for those; the shorter of the two counts.", low=1, high=744
    )
    token_requests_per_minute: int = _setting(
        1200,
        "Requests that one API token may make a minute, of which each of `web_workers` counts its "
        "part; more are answered 429.",
        low=1,
    )
    revocations_file: str = _setting(
        "",
        "File in a second place that says who is revoked, so that a restore takes no revocation "
        "back; empty for none but the one in the data directory.",
    )
    audit_heads_file: str = _setting(
        "",
        "File in a second place to which every signed head of the audit trail is appended; "
        "empty for none.",
    )
    log_level: str = _setting("info", "Least level that is logged: debug, info, warning, error.")

    def __post_init__(self) -> None:
        for one in settings():
            _check_range(one, getattr(self, one.name))
        if self.database_url and not self.database_url.startswith(DATABASES):
            scheme = self.database_url.partition("://")[0][:20]
            raise BadSettingError(
                f"Setting database_url begins with {scheme!r}; write "
                "postgresql+psycopg://user@host/name, or nothing for SQLite."
            )
        if self.log_level not in {"debug", "info", "warning", "error"}:
            raise BadSettingError(
                f"Setting log_level is {self.log_level!r}; write debug, info, warning or error."
            )
        if self.rollout_approval not in set(Approval):
            raise BadSettingError(
                f"Setting rollout_approval is {self.rollout_approval!r}; write console, always "
                "or never."
            )

        if self.two_persons not in set(TwoPersons):
            raise BadSettingError(f"Setting two_persons is {self.two_persons!r}; write on or off.")

        if self.second_factor not in set(SecondFactor):
            raise BadSettingError(
                f"Setting second_factor is {self.second_factor!r}; write required or offered."
            )

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'oleada.db'}"

    @property
    def console_url(self) -> str:
        """The address of the console, without a slash at its end."""
        return (self.public_url or f"http://{self.web_host}:{self.web_port}").rstrip("/")

    @property
    def door_url(self) -> str:
        """The address of the device door, without a slash at its end."""
        return f"https://{self.public_host}:{self.door_port}"

    @property
    def keys_dir(self) -> Path:
        """Online keys and the secret key; only the server's user may read it."""
        return self.data_dir / "keys"

    @property
    def pki_dir(self) -> Path:
        """The two CAs and the certificates of our own processes."""
        return self.data_dir / "pki"

    @property
    def broker_dir(self) -> Path:
        """The broker's generated configuration and its store."""
        return self.data_dir / "broker"

    @property
    def tuf_dir(self) -> Path:
        """TUF metadata files as they are served."""
        return self.data_dir / "tuf"

    @property
    def blobs_dir(self) -> Path:
        """Images by digest."""
        return self.data_dir / "blobs"

    @property
    def logs_dir(self) -> Path:
        """One log file per process."""
        return self.data_dir / "logs"


def settings() -> list[Field[Any]]:
    """Return the fields of :class:`Config` that are settings, in the order of the page."""
    return [one for one in fields(Config) if one.metadata]


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the data directory that *environ* names, or the default."""
    return Path(environ.get("OLEADA_DATA_DIR") or DATA_DIR_DEFAULT)


def load(directory: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the settings of *directory*; a missing file means every default.

    Raises:
        BadSettingError: a setting is unknown, of the wrong kind or out of range.
    """
    directory = directory or data_dir(environ)
    if directory.exists() and not directory.is_dir():
        raise BadSettingError(
            f"The data directory {directory} is a file. Set OLEADA_DATA_DIR to a directory; one "
            "that is missing is made."
        )
    found = _read_file(directory / FILE_NAME)
    known = {one.name: one for one in settings()}
    for name, one in known.items():
        if (text := environ.get(f"OLEADA_{name.upper()}")) is not None:
            found[name] = _from_text(one, text)
    for name, value in found.items():
        if name not in known:
            raise BadSettingError(
                f"Setting {name!r} in {directory / FILE_NAME} is unknown; remove it or correct "
                "its name (docs/reference/settings.md lists them all)."
            )
        _check_kind(known[name], value)
    return Config(data_dir=directory, **found)


def given(directory: Path, environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the names of the settings that the file or the environment sets."""
    in_environ = {one.name for one in settings() if f"OLEADA_{one.name.upper()}" in environ}
    return frozenset(_read_file(directory / FILE_NAME)) | in_environ


def current() -> Config:
    """Return the settings of the current app."""
    found: Config = current_app.extensions["oleada_config"]
    return found


def write(config: Config, names: list[str]) -> None:
    """Set *names* in the file of *config*, keeping the rest of the file."""
    path = config.data_dir / FILE_NAME
    before = path.read_text() if path.exists() else "# docs/reference/settings.md says more.\n"
    if before and not before.endswith("\n"):  # an editor that leaves the last line open
        before += "\n"
    kept = [one for one in before.splitlines(keepends=True) if _set_by(one) not in names]
    lines = [f"{line(name, getattr(config, name))}\n" for name in names]
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("".join(kept + lines))
    part.replace(path)


def line(name: str, value: str | int) -> str:
    """Return the line that sets *name* in the file, without its end."""
    return f"{name} = {_toml(value)}"


def _set_by(text: str) -> str:
    """Return the name of the setting that the line *text* sets."""
    return text.partition("=")[0].strip()


def _toml(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _read_file(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (ValueError, RecursionError) as error:  # not TOML, or not even UTF-8
        raise BadSettingError(f"{path} is not TOML: {error}. Correct that line.") from error


def _from_text(one: Field[Any], text: str) -> str | int:
    if one.type is str:
        return text
    try:
        return int(text)
    except ValueError as error:
        raise BadSettingError(
            f"OLEADA_{one.name.upper()} is {text!r}; a whole number was expected."
        ) from error


def _check_kind(one: Field[Any], value: Any) -> None:
    if type(value) is not one.type:
        raise BadSettingError(
            f"Setting {one.name} is {value!r}; a value of kind "
            f"{getattr(one.type, '__name__', one.type)} was expected."
        )


def _check_range(one: Field[Any], value: Any) -> None:
    low, high = one.metadata["low"], one.metadata["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        raise BadSettingError(
            f"Setting {one.name} is {value}; it must be at least {low}"
            + (f" and at most {high}." if high is not None else ".")
        )
