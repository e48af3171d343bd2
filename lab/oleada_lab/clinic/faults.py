"""The labelled set: what is broken at a home, who is to blame, and what the caller says.

A fault changes what is so (how strong the Wi-Fi is, what the decoder counts), and the box
finds it out by itself. No fault knows the signs of the playbooks. Labels are the causes
that are truly there; the severity is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from oleada_lab.clinic.bed import WATCHED_S, Bed, crowd
from oleada_lab.clinic.street import Names

Change = Callable[[Bed, Random], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the set.

    Attributes:
        id: Its name.
        causes: The label: what is truly wrong, by the names of the playbooks.
        symptoms: What a caller may name.
        part: Of the home; two faults of one part are never there together.
        is_alone: Nothing else can be told from this home, so it comes alone.
    """

    id: str
    causes: tuple[str, ...]
    symptoms: tuple[str, ...]
    part: str
    change: Change
    is_alone: bool = False


FAULTS: Final[dict[str, Fault]] = {}


def fault(
    name: str, causes: str, symptoms: str, part: str, *, alone: bool = False
) -> Callable[[Change], Change]:
    """Add the fault that the function below makes; words are parted by blanks."""

    def add(change: Change) -> Change:
        assert name not in FAULTS, f"{name} is there twice"  # noqa: S101
        FAULTS[name] = Fault(
            name, tuple(causes.split()), tuple(symptoms.split()), part, change, alone
        )
        return change

    return add


# -- picture ---------------------------------------------------------------------------


@fault("television-off", "tv-not-connected", "no-picture", "hdmi")
def _television_off(bed: Bed, dice: Random) -> None:
    bed.say(
        Components__HDMI__1__DisplayDevice__Status="None",
        Components__HDMI__1__Status=dice.choice(("Disabled", "Enabled")),
    )


@fault("hdmi-cable-broken", "hdmi-cable", "no-picture no-sound", "hdmi")
def _hdmi_cable(bed: Bed, dice: Random) -> None:
    bed.say(
        Components__HDMI__1__DisplayDevice__Status="Error",
        Components__HDMI__1__Status=dice.choice(("Enabled", "Error")),
        Components__VideoOutput__1__HDCP=dice.random() < 0.3,
    )


@fault("hdcp-refused", "hdcp-refused", "no-picture after-an-update", "hdmi")
def _hdcp(bed: Bed, _: Random) -> None:
    bed.say(Components__VideoOutput__1__HDCP=False, Components__VideoOutput__1__Status="Error")


@fault("wrong-mode-for-the-tv", "resolution-unfit", "no-picture after-an-update", "hdmi")
def _mode(bed: Bed, dice: Random) -> None:
    shown, liked = dice.choice((("1080p/50Hz", "720p/50Hz"), ("2160p/50Hz", "1080p/50Hz")))
    bed.say(
        Components__HDMI__1__ResolutionMode="Manual",
        Components__HDMI__1__ResolutionValue=shown,
        Components__HDMI__1__DisplayDevice__PreferredResolution=liked,
        Components__HDMI__1__Status=dice.choice(("Error", "Disabled", "Enabled")),
    )


@fault("box-asleep", "standby", "no-picture remote-control", "player")
def _standby(bed: Bed, _: Random) -> None:
    bed.plays = False
    bed.say(X_OLEADA_Standby=True)


@fault("player-not-ready", "player-hung", "no-picture remote-control", "player")
def _not_ready(bed: Bed, dice: Random) -> None:
    bed.plays = False
    bed.say(X_OLEADA_Ready=False, X_OLEADA_LastErrorCode="APP-START")
    bed.say(X_OLEADA_RestartCount=dice.choice((0, 1, 2)))
    bed.said["reacts-to-key"] = False


@fault("player-socket-hangs", "player-hung", "no-picture", "player", alone=True)
def _socket_hangs(bed: Bed, _: Random) -> None:
    bed.plays, bed.lie = False, "hangs"


@fault("player-talks-nonsense", "player-hung", "no-picture", "player", alone=True)
def _socket_lies(bed: Bed, dice: Random) -> None:
    bed.plays, bed.lie = False, dice.choice(("not-json", "too-long", "hangs-up"))


@fault("player-restarts-in-a-loop", "player-hung", "no-picture", "player")
def _player_loop(bed: Bed, dice: Random) -> None:
    bed.plays = False
    bed.say(X_OLEADA_Ready=False, X_OLEADA_RestartCount=dice.randint(5, 40))


@fault("no-signal-at-the-tuner", "no-reception", "no-picture channel-missing", "tuner")
def _no_signal(bed: Bed, dice: Random) -> None:
    bed.plays = False
    bed.say(
        Components__FrontEnd__1__DVBT__Modulation__Locked=False,
        Components__FrontEnd__1__DVBT__Modulation__SNR=dice.randint(0, 8),
        Components__FrontEnd__1__DVBT__Modulation__BER=dice.randint(20_000, 99_000),
    )


# -- rights ----------------------------------------------------------------------------


@fault("account-blocked", "account-blocked", "no-picture channel-missing drm-error", "rights")
def _blocked(bed: Bed, dice: Random) -> None:
    bed.plays = False
    bed.said["charges-active"] = False
    bed.say(X_OLEADA_Subscribed=False)
    bed.say(Components__DRM__1__Status=dice.choice(("Enabled", "Disabled", "Disabled")))
    bed.say(X_OLEADA_LastErrorCode=dice.choice(("", "", "E14-32")))


@fault("channel-not-in-package", "not-subscribed", "channel-missing", "rights")
def _package(bed: Bed, _: Random) -> None:
    bed.said |= {"in-package": False, "one-channel-only": True}
    bed.say(X_OLEADA_Subscribed=False)
    bed.channel = "Cine 4"


@fault("keys-outdated", "keys-outdated", "no-picture channel-missing drm-error", "rights")
def _keys(bed: Bed, dice: Random) -> None:
    bed.plays, bed.dark_days = False, dice.randint(16, 80)
    bed.say(Components__CA__1__Status=dice.choice(("Enabled", "Error")))
    bed.say(X_OLEADA_LastErrorCode=dice.choice(("E19-4", "E19-4", "E14-32")))


@fault("card-out", "card-not-read", "channel-missing drm-error", "rights")
def _card(bed: Bed, dice: Random) -> None:
    bed.plays = False
    bed.say(Components__CA__1__Status=dice.choice(("Error", "Disabled")))
    bed.say(X_OLEADA_LastErrorCode=dice.choice(("E04-4", "E05", "E06")))


@fault("drm-not-authorised", "drm-broken", "no-picture drm-error channel-missing", "rights")
def _drm(bed: Bed, dice: Random) -> None:
    bed.plays = dice.random() < 0.2
    bed.say(Components__DRM__1__Status="Error", X_OLEADA_LastErrorCode="DRM-403")


@fault("clock-behind", "clock-wrong", "drm-error", "clock")
def _clock(bed: Bed, dice: Random) -> None:
    bed.clock_ms = -dice.randint(3, 40) * 24 * 3_600_000


# -- sound -----------------------------------------------------------------------------


@fault("sound-muted", "muted", "no-sound", "sound")
def _muted(bed: Bed, _: Random) -> None:
    bed.say(Components__AudioOutput__1__Status="Muted")


@fault("volume-zero", "muted", "no-sound", "sound")
def _volume(bed: Bed, dice: Random) -> None:
    bed.say(Components__AudioOutput__1__AudioLevel=dice.randint(0, 3))


@fault("sound-passed-through", "passthrough", "no-sound", "sound")
def _passthrough(bed: Bed, _: Random) -> None:
    bed.say(Components__SPDIF__1__Passthrough=True, Components__AudioOutput__1__AudioFormat="AC3")


@fault("sound-undecodable", "audio-broken", "no-sound", "sound")
def _audio(bed: Bed, dice: Random) -> None:
    bed.count("AudioDecoderStats.DecodingErrors", 60, 4_000, dice)


# -- stream and network ----------------------------------------------------------------


@fault("wifi-far-away", "wifi-weak", "buffering wifi-weak", "wifi")
def _far(bed: Bed, dice: Random) -> None:
    bed.facts.on_wifi = True
    bed.facts.signal_dbm = dice.randint(-86, -73)
    bed.facts.retries = dice.randint(22, 70)
    _lose(bed, dice, 0.0005, 0.006)


@fault("wifi-far-but-not-yet-bad", "wifi-weak", "wifi-weak", "wifi")
def _edge(bed: Bed, dice: Random) -> None:
    bed.facts.on_wifi, bed.facts.signal_dbm = True, dice.randint(-76, -72)
    bed.facts.retries = dice.randint(16, 30)


@fault("wifi-crowded", "wifi-crowded", "buffering wifi-weak", "wifi")
def _crowded(bed: Bed, dice: Random) -> None:
    bed.facts.on_wifi = True
    bed.facts.retries = dice.randint(18, 60)
    crowd(bed, dice, dice.randint(6, 14))
    bed.count("DejitteringStats.Underruns", 4, 60, dice)


@fault("line-loses-packets", "access-loss", "buffering", "line")
def _loses(bed: Bed, dice: Random) -> None:
    _lose(bed, dice, 0.003, 0.05)
    bed.road.loss_share = dice.uniform(0.1, 0.6)


@fault("line-loss-mostly-repaired", "access-loss", "buffering", "line")
def _repaired(bed: Bed, dice: Random) -> None:
    lost = round(dice.uniform(0.002, 0.01) * 1_000 * WATCHED_S)
    bed.counts["RTPStats.PacketsLostBeforeEC"] = lost
    bed.count("RTPStats.PacketsLost", lost * 0.02, lost * 0.1, dice)
    bed.count("DejitteringStats.Underruns", 8, 40, dice)
    bed.road.loss_share = dice.uniform(0.05, 0.4)


@fault("line-too-slow", "line-slow", "buffering", "line")
def _slow(bed: Bed, dice: Random) -> None:
    bed.road.rate_kbit_s = dice.randint(1_500, 6_500)
    bed.count("DejitteringStats.Underruns", 30, 400, dice)
    bed.count("X_OLEADA_AbrStats.Rebuffers", 10, 200, dice)


@fault("cable-at-half-duplex", "lan-cable", "buffering", "cable")
def _duplex(bed: Bed, dice: Random) -> None:
    bed.facts.on_wifi = False
    bed.facts.duplex, bed.facts.speed = "half", dice.choice((10, 100))
    bed.damaged = dice.randint(300, 20_000)
    bed.count("DejitteringStats.Underruns", 8, 200, dice)


@fault("cable-at-ten-megabits", "lan-cable", "buffering", "cable")
def _ten(bed: Bed, dice: Random) -> None:
    bed.facts.on_wifi, bed.facts.speed = False, 10
    bed.road.rate_kbit_s = dice.randint(5_000, 9_000)
    bed.count("DejitteringStats.Underruns", 10, 200, dice)


@fault("cable-with-errors", "lan-cable", "buffering", "cable")
def _errors(bed: Bed, dice: Random) -> None:
    bed.facts.on_wifi, bed.damaged = False, dice.randint(500, 90_000)
    _lose(bed, dice, 0.0005, 0.01)


@fault("stream-broken-at-the-source", "headend-loss", "buffering", "source")
def _headend(bed: Bed, dice: Random) -> None:
    bed.count("MPEG2TSStats.PacketDiscontinuityCounterBeforeCA", 90, 3_000, dice)
    bed.count("VideoDecoderStats.LostFrames", 20, 200, dice)


@fault("decoder-drops-frames", "decoder-failing", "buffering", "decoder")
def _decoder(bed: Bed, dice: Random) -> None:
    bed.count("VideoDecoderStats.LostFrames", 900, 20_000, dice)
    bed.count("VideoDecoderStats.ConcealedFrames", 900, 20_000, dice)


@fault("region-loses-packets", "region-trouble", "buffering", "line", alone=True)
def _region(bed: Bed, dice: Random) -> None:
    _lose(bed, dice, 0.003, 0.05)
    bed.road.loss_share, bed.many = dice.uniform(0.1, 0.5), "region"


@fault("channel-is-down", "channel-trouble", "no-picture channel-missing", "source", alone=True)
def _channel(bed: Bed, dice: Random) -> None:
    bed.many, bed.channel = "channel", "Uno"
    bed.said["one-channel-only"] = True
    bed.count("MPEG2TSStats.PacketDiscontinuityCounterBeforeCA", 90, 3_000, dice)


@fault("names-not-answered", "names-broken", "wifi-weak application-closes", "names")
def _names(bed: Bed, dice: Random) -> None:
    bed.road.names = Names.SILENT
    _portal(bed, dice, 6_000, 20_000)


@fault("names-unknown", "names-broken", "wifi-weak application-closes", "names")
def _unknown(bed: Bed, dice: Random) -> None:
    bed.road.names = Names.UNKNOWN
    _portal(bed, dice, 5_500, 12_000)


@fault("portal-slow", "service-slow", "application-closes", "service")
def _service(bed: Bed, dice: Random) -> None:
    _portal(bed, dice, 7_000, 30_000)


# -- the box ---------------------------------------------------------------------------


@fault("processor-busy", "overloaded", "buffering application-closes", "processor")
def _busy(bed: Bed, dice: Random) -> None:
    bed.facts.busy_share = dice.uniform(0.88, 1.0)
    bed.count("DejitteringStats.Underruns", 8, 150, dice)


@fault("too-hot", "overheated", "buffering application-closes does-not-start", "heat")
def _hot(bed: Bed, dice: Random) -> None:
    bed.facts.heat_c = dice.randint(92, 108)


@fault("memory-short", "memory-short", "application-closes", "memory")
def _memory(bed: Bed, dice: Random) -> None:
    bed.facts.free_share = dice.uniform(0.02, 0.12)
    bed.say(X_OLEADA_RestartCount=dice.choice((0, 2, 4)))


@fault("storage-full", "storage-full", "application-closes after-an-update", "storage")
def _full(bed: Bed, dice: Random) -> None:
    bed.small_bytes = dice.randint(6, 28) * 1024 * 1024


@fault("storage-worn-out", "storage-failing", "application-closes does-not-start", "storage")
def _worn(bed: Bed, dice: Random) -> None:
    bed.facts.pre_eol, bed.facts.worn = dice.choice(((2, 10), (3, 11)))


@fault("application-crashes", "application-broken", "application-closes after-an-update", "app")
def _crashes(bed: Bed, dice: Random) -> None:
    bed.say(X_OLEADA_RestartCount=dice.randint(3, 20), X_OLEADA_LastErrorCode="APP-SEGV")


@fault(
    "firmware-breaks-many", "firmware-trouble", "application-closes after-an-update no-picture",
    "app", alone=True,
)  # fmt: skip
def _firmware(bed: Bed, _: Random) -> None:
    bed.many, bed.version = "firmware", "1.0.1"


# -- power and way ---------------------------------------------------------------------


@fault("no-power", "no-power", "does-not-start no-picture", "power", alone=True)
def _no_power(bed: Bed, dice: Random) -> None:
    bed.is_off, bed.silent_s = True, dice.randint(2_000, 60_000)
    bed.said["led-on"] = False


@fault("router-dark", "off-the-network", "does-not-start no-picture", "power", alone=True)
def _router(bed: Bed, dice: Random) -> None:
    bed.is_cut, bed.silent_s = True, dice.randint(2_000, 60_000)
    bed.said["others-online"] = dice.random() < 0.3


@fault("plug-comes-and-goes", "power-supply", "does-not-start", "power", alone=True)
def _plug(bed: Bed, dice: Random) -> None:
    bed.cold_boots = dice.randint(4, 6)


# -- remote control --------------------------------------------------------------------


@fault("remote-without-battery", "remote-empty", "remote-control", "remote")
def _battery(bed: Bed, dice: Random) -> None:
    bed.say(X_OLEADA_RemoteBattery=dice.randint(0, 12))
    bed.said |= {"box-sees-remote": False, "remote-light": False, "reacts-to-key": True}


@fault("remote-lost-its-pairing", "remote-unpaired", "remote-control", "remote")
def _pairing(bed: Bed, _: Random) -> None:
    bed.said |= {"box-sees-remote": False, "reacts-to-key": True}


def _lose(bed: Bed, dice: Random, least: float, most: float) -> None:
    lost = round(dice.uniform(least, most) * 1_000 * WATCHED_S)
    bed.counts["RTPStats.PacketsLostBeforeEC"] = lost
    bed.count("RTPStats.PacketsLost", lost * 0.3, lost * 0.8, dice)
    bed.count("DejitteringStats.Underruns", 8 + lost * 0.01, 20 + lost * 0.02, dice)
    bed.count("RTPStats.LossEvents", lost * 0.1, lost * 0.2, dice)


def _portal(bed: Bed, dice: Random, least: int, most: int) -> None:
    bed.say(
        ServiceMonitoring__GlobalOperation__Total__MaximumPortalResponse=dice.randint(least, most)
    )
