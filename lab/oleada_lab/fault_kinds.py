"""The kinds of faults that a scenario may plant, and what each needs; one table for all."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """What a fault needs to be told.

    Attributes:
        on: ``box``, ``broker`` or ``server``.
        lasts: ``needed``, ``never`` or ``may``.
        needs: Other keys that must be there.
        says: What happens, for the reference.
    """

    says: str
    on: str = "box"
    lasts: str = "may"
    needs: tuple[str, ...] = ()


KINDS: Final[dict[str, Kind]] = {
    # power
    "power_cut": Kind("loses power and has it back", lasts="needed"),
    "unplug": Kind("loses power for good", lasts="never"),
    "cut_in_write": Kind("loses power in flash write `op` from now on", lasts="needed"),
    "brownout": Kind("loses power `times` times, for 3 s each", lasts="never"),
    "watchdog": Kind("is restarted by its watchdog", lasts="never"),
    # storage
    "disk_full": Kind("its disk takes nothing more"),
    "disk_error": Kind("flash operation `op` from now on fails, once or while it lasts"),
    "read_only": Kind("its disk can only be read"),
    "lying_disk": Kind("fsync does nothing on paths `on`"),
    "bit_rot": Kind("one bit of the spare slot flips (`on = \"active\"`: of the one that runs)",
                    lasts="never"),
    "journal_lost": Kind("both files of its journal are garbage after a restart", lasts="never"),
    "record_rot": Kind("one bit flips in the newest record of journal and of boot control,"
                       " and it restarts", lasts="never"),
    "floor": Kind("has the security floor `amount` from now on, as after a newer image that was"
                  " put in by hand and taken out again, and it restarts", lasts="never",
                  needs=("amount",)),
    # clock
    "clock": Kind("its wall clock is wrong `by` so much", needs=("by",)),
    "drift": Kind("its wall clock runs `amount` parts per million too fast", needs=("amount",)),
    "suspend": Kind("sleeps: nothing in it happens", lasts="needed"),
    # line
    "line_cut": Kind("has no carrier", lasts="needed"),
    "half_open": Kind("everything it sends and is sent vanishes", lasts="needed"),
    "deaf": Kind("everything sent to it vanishes", lasts="needed"),
    "mute": Kind("everything it sends vanishes", lasts="needed"),
    "no_names": Kind("finds no address for server and broker", lasts="needed"),
    "limit_data": Kind("its connection dies after `amount` bytes", lasts="never",
                       needs=("amount",)),
    "slow_line": Kind("its line is `amount` times slower", needs=("amount",)),
    "move_house": Kind("has the line of `profile` from now on", lasts="never",
                       needs=("profile",)),
    # downloads
    "captive_portal": Kind("a sign-in page answers instead of the server"),
    "not_found": Kind("the door answers 404"),
    "busy": Kind("the door answers 503 and asks to wait"),
    "corrupt": Kind("one bit of each part is another one"),
    "truncated": Kind("the door sends less than was asked for"),
    "oversized": Kind("the door sends a longer file than was signed"),
    # people
    "viewer": Kind("somebody watches"),
    "too_hot": Kind("is too hot to update"),
    "factory_reset": Kind("is reset by a person", lasts="never"),
    "remote_spam": Kind("somebody leans on the remote control: a health report now",
                        lasts="never"),
    # broker and server
    "broker_restart": Kind("the broker is away, and may lose its store", on="broker",
                           lasts="needed"),
    "replay": Kind("old messages are published again", on="broker", lasts="never"),
    "server_kill": Kind("every process of the server is killed", on="server", lasts="needed"),
    "server_slow": Kind("each batch takes `amount` ms longer", on="server", needs=("amount",)),
    "pause": Kind("a person pauses the rollout", on="server", lasts="never"),
    "resume": Kind("a person lets it go on", on="server", lasts="never"),
    "stop": Kind("a person stops it", on="server", lasts="never"),
    "retry": Kind("a person retries boxes", on="server", lasts="never"),
}  # fmt: skip
