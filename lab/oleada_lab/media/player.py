"""What the fake media player is at, and how it answers: pure, so that it is the same each time.

The names are those of ``oleada_wire.readings``; what is asked stands in
docs/reference/media-socket.md. Faults change what it says, as the real fault would.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from oleada_wire.readings import MAIN, STB, TOTAL

Values = dict[str, bool | int | str]
CHANNELS: Final = ("ch-1", "ch-2", "ch-3", "ch-pay")
ZAP_MS: Final = 900
FRAMES_PER_S: Final = 50
PACKETS_PER_S: Final = 1_000

FAULTS: Final[dict[str, Values]] = {
    "no-tv": {
        "Components.HDMI.1.DisplayDevice.Status": "None",
        "Components.HDMI.1.Status": "Disabled",
    },
    "hdmi-mode": {
        "Components.HDMI.1.Status": "Error",
        "Components.HDMI.1.ResolutionMode": "Manual",
        "Components.HDMI.1.ResolutionValue": "1080p/50Hz",
        "Components.HDMI.1.DisplayDevice.PreferredResolution": "720p/50Hz",
        "Components.HDMI.1.DisplayDevice.SupportedResolutions": "720p/50Hz,576p/50Hz",
    },
    "hdcp-refused": {
        "Components.VideoOutput.1.HDCP": False,
        "Components.VideoOutput.1.Status": "Error",
    },
    "no-signal": {
        "Components.FrontEnd.1.DVBT.Modulation.Locked": False,
        "Components.FrontEnd.1.DVBT.Modulation.SNR": 4,
        "Components.FrontEnd.1.DVBT.Modulation.BER": 90_000,
    },
    "drm-not-authorised": {
        "Components.DRM.1.Status": "Error",
        "X_OLEADA_LastErrorCode": "DRM-403",
    },
    "not-subscribed": {"X_OLEADA_Subscribed": False, "Components.CA.1.Status": "Error"},
    "muted": {
        "Components.AudioOutput.1.Status": "Muted",
        "Components.AudioOutput.1.AudioLevel": 0,
    },
    "passthrough": {
        "Components.SPDIF.1.Passthrough": True,
        "Components.SPDIF.1.ForcePCM": False,
        "Components.AudioOutput.1.AudioFormat": "AC3",
    },
    "app-crashes": {"X_OLEADA_RestartCount": 7, "X_OLEADA_LastErrorCode": "APP-SEGV"},
    "not-ready": {"X_OLEADA_Ready": False, "X_OLEADA_LastErrorCode": "APP-START"},
    "remote-battery": {"X_OLEADA_RemoteBattery": 4, "X_OLEADA_RemoteKeys": 0},
    "full-cache": {"X_OLEADA_CacheBytes": 980_000_000},
    "slow-portal": {
        "ServiceMonitoring.GlobalOperation.Total.MaximumPortalResponse": 14_000,
    },
}
"""By name, what a fault changes of what the player says (paths below ``STBService.1.``)."""
PER_SECOND: Final[dict[str, Values]] = {
    "underruns": {"DejitteringStats.Underruns": 2, "X_OLEADA_AbrStats.Rebuffers": 1},
    "packet-loss": {"RTPStats.PacketsLost": 30, "RTPStats.PacketsLostBeforeEC": 45,
                    "RTPStats.LossEvents": 3},
    "head-end": {"MPEG2TSStats.PacketDiscontinuityCounterBeforeCA": 20,
                 "MPEG2TSStats.PacketDiscontinuityCounter": 20},
    "lost-frames": {"VideoDecoderStats.LostFrames": 12},
    "decoding-errors": {"AudioDecoderStats.DecodingErrors": 9},
    "retransmissions": {"TCPStats.PacketsRetransmitted": 80},
    "channel-fails": {"VideoResponseStats.ChannelChangeFailures": 1},
}  # fmt: skip
"""By name, what a fault adds to a counter with each second of watching."""
LIES: Final = ("hangs", "too-long", "not-json", "wrong-version", "nan", "wrong-kinds",
               "unknown-names", "hangs-up", "secrets", "endless", "huge-file")  # fmt: skip
"""What a player that is broken, or somebody else's, does instead of a good answer."""
_GOOD: Final[Values] = {
    "X_OLEADA_Ready": True,
    "X_OLEADA_Standby": False,
    "X_OLEADA_Version": "1.4.0",
    "X_OLEADA_RestartCount": 0,
    "X_OLEADA_LastErrorCode": "",
    "X_OLEADA_RemoteKeys": 40,
    "X_OLEADA_RemoteBattery": 80,
    "X_OLEADA_Subscribed": True,
    "X_OLEADA_CacheBytes": 20_000_000,
    "Components.HDMI.1.Status": "Enabled",
    "Components.HDMI.1.ResolutionMode": "Auto",
    "Components.HDMI.1.ResolutionValue": "1080p/50Hz",
    "Components.HDMI.1.DisplayDevice.Status": "Present",
    "Components.HDMI.1.DisplayDevice.Name": "TV",
    "Components.HDMI.1.DisplayDevice.SupportedResolutions": "1080p/50Hz,720p/50Hz,576p/50Hz",
    "Components.HDMI.1.DisplayDevice.PreferredResolution": "1080p/50Hz",
    "Components.VideoOutput.1.Status": "Enabled",
    "Components.VideoOutput.1.HDCP": True,
    "Components.AudioOutput.1.Status": "Enabled",
    "Components.AudioOutput.1.AudioFormat": "PCM",
    "Components.AudioOutput.1.AudioLevel": 70,
    "Components.SPDIF.1.ForcePCM": False,
    "Components.SPDIF.1.Passthrough": False,
    "Components.VideoDecoder.1.Status": "Enabled",
    "Components.AudioDecoder.1.Status": "Enabled",
    "Components.CA.1.Status": "Enabled",
    "Components.DRM.1.Status": "Enabled",
    "Components.DRM.1.Name": "Widevine",
    "Components.DRM.1.X_OLEADA_SecurityLevel": "L1",
    "ServiceMonitoring.GlobalOperation.Total.ServiceAccessTime": 9_000,
    "ServiceMonitoring.GlobalOperation.Total.MaximumPortalResponse": 700,
}
_COUNTERS: Final = (
    "DejitteringStats.Overruns", "DejitteringStats.Underruns", "RTPStats.PacketsLost",
    "RTPStats.PacketsLostBeforeEC", "RTPStats.LossEvents", "TCPStats.PacketsRetransmitted",
    "MPEG2TSStats.PacketDiscontinuityCounter", "MPEG2TSStats.PacketDiscontinuityCounterBeforeCA",
    "VideoDecoderStats.LostFrames", "AudioDecoderStats.DecodingErrors",
    "VideoResponseStats.ChannelChangeFailures", "X_OLEADA_AbrStats.Rebuffers",
)  # fmt: skip


class NotDoneError(Exception):
    """The player does not do what it was asked; *code* is what it says."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail)
        self.code = code


@dataclass(slots=True)
class Player:
    """One player; ``watched_s`` seconds of its channel have been shown.

    Attributes:
        faults: Names of ``FAULTS`` and ``PER_SECOND`` that it has.
        watching: Titles and channels that no log may say.
        done: Every question it was asked but ``status``, with its arguments.
        readings: What it says beside its faults, by path below ``STBService.1.``.
        counts: What was counted beside its faults, by name below ``Total.``.
        absent: What this model does not report, by the same paths.
    """

    faults: frozenset[str] = frozenset()
    channel: str = "ch-1"
    watched_s: int = 60
    colour_bars: bool = False
    pcm: bool = False
    mode: str = "1080p50"
    cache_bytes: int | None = None
    watching: tuple[str, ...] = ()
    done: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    readings: Values = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()

    def status(self) -> Values:
        """Return every reading, by its whole path."""
        found = {f"{STB}{name}": value for name, value in _GOOD.items()}
        for fault in sorted(self.faults & FAULTS.keys()):
            found |= {f"{STB}{name}": value for name, value in FAULTS[fault].items()}
        found |= {f"{TOTAL}{name}": value for name, value in self.counters().items()}
        found[f"{MAIN}X_OLEADA_Playing"] = "not-ready" not in self.faults
        found[f"{MAIN}ServiceType"] = "IPTV"
        if self.cache_bytes is not None:
            found[f"{STB}X_OLEADA_CacheBytes"] = self.cache_bytes
        if self.pcm:
            found[f"{STB}Components.SPDIF.1.ForcePCM"] = True
        found |= {f"{STB}{name}": value for name, value in self.readings.items()}
        return {
            name: value
            for name, value in found.items()
            if name.removeprefix(STB) not in self.absent
        }

    def counters(self) -> Values:
        """Return the counters of the channel, as they are after ``watched_s``."""
        seconds = self.watched_s
        found: Values = {
            "VideoDecoderStats.FrameRate": FRAMES_PER_S,
            "VideoDecoderStats.DecodedFrames": FRAMES_PER_S * seconds,
            "AudioDecoderStats.DecodedFrames": FRAMES_PER_S * seconds,
            "RTPStats.PacketsExpected": PACKETS_PER_S * seconds,
            "RTPStats.PacketsReceived": PACKETS_PER_S * seconds,
            "MPEG2TSStats.TSPacketsReceived": 7 * PACKETS_PER_S * seconds,
            "VideoResponseStats.MaximumVideoSystemResponse": ZAP_MS,
            **dict.fromkeys(_COUNTERS, 0),
        }
        for fault in sorted(self.faults & PER_SECOND.keys()):
            for name, each in PER_SECOND[fault].items():
                found[name] = int(found.get(name, 0)) + int(each) * seconds
        for name, count in self.counts.items():
            found[name] = int(found.get(name, 0)) + count
        return found

    def do(self, what: str, arguments: Mapping[str, Any]) -> tuple[Values, bytes]:
        """Do *what*; return what it has to say and, of a screenshot, the file.

        Raises:
            NotDoneError: it can not, or does not know what that is.
        """
        if what == "status":
            return self.status(), b""
        deed = DEEDS.get(what)
        if deed is None:
            raise NotDoneError("unknown-question", what)
        self.done.append((what, dict(arguments)))
        if what == "screenshot":
            return {"X_OLEADA_Width": 64, "X_OLEADA_Height": 36}, picture(64, 36)
        return deed(self, arguments), b""


def _media_status(player: Player, _: Mapping[str, Any]) -> Values:
    return player.status()


def _hdmi_info(player: Player, _: Mapping[str, Any]) -> Values:
    said = {name.removeprefix(STB): value for name, value in player.status().items()}
    kept = {name: value for name, value in said.items() if ".HDMI." in name or "HDCP" in name}
    return {**kept, "Components.HDMI.1.DisplayDevice.EEDID": "00ffffffffffff00"}


def _keys(_player: Player, arguments: Mapping[str, Any]) -> Values:
    return {"X_OLEADA_Pressed": len(str(arguments["keys"]).split())}


def _tune(player: Player, arguments: Mapping[str, Any]) -> Values:
    channel = str(arguments["channel"])
    if channel not in CHANNELS:
        raise NotDoneError("no-such-channel", channel)
    if channel == "ch-pay" and "not-subscribed" in player.faults:
        raise NotDoneError("not-subscribed")
    player.channel, player.watched_s = channel, 0
    return {"VideoResponseStats.MaximumVideoSystemResponse": ZAP_MS}


def _channel_test(player: Player, arguments: Mapping[str, Any]) -> Values:
    if arguments["channel"] and arguments["channel"] != player.channel:
        _tune(player, arguments)
    before = player.counters()
    player.watched_s += int(arguments["duration_s"])
    passed = {
        name: int(value) - int(before[name]) if isinstance(value, int) else value
        for name, value in player.counters().items()
    }
    dark = {"not-ready", "drm-not-authorised", "no-signal", "hdcp-refused"}
    return {
        **passed,
        "VideoResponseStats.MaximumVideoSystemResponse": ZAP_MS,
        "X_OLEADA_Picture": not player.faults & dark,
        "X_OLEADA_Sound": not player.faults & {"muted", "not-ready", "no-signal"},
    }


def _colour_bars(player: Player, _: Mapping[str, Any]) -> Values:
    player.colour_bars = True
    return {"VideoOutput.1.Status": "ColorbarEnabled"}


def _hdmi_mode(player: Player, arguments: Mapping[str, Any]) -> Values:
    before, player.mode = player.mode, str(arguments["mode"])
    player.faults -= {"hdmi-mode"}
    return {"HDMI.1.ResolutionValue": player.mode, "X_OLEADA_Before": before}


def _audio_mode(player: Player, arguments: Mapping[str, Any]) -> Values:
    player.pcm = arguments["mode"] == "pcm"
    if player.pcm:
        player.faults -= {"passthrough"}
    if arguments["cancel_mute"]:
        player.faults -= {"muted"}
    status = "Muted" if "muted" in player.faults else "Enabled"
    return {"AudioOutput.1.Status": status, "SPDIF.1.ForcePCM": player.pcm}


def _message(_player: Player, _: Mapping[str, Any]) -> Values:
    return {"X_OLEADA_Shown": True}


def _clear_cache(player: Player, _: Mapping[str, Any]) -> Values:
    freed = int(player.status()[f"{STB}X_OLEADA_CacheBytes"])
    player.cache_bytes = 0
    player.faults -= {"full-cache"}
    return {"X_OLEADA_FreedBytes": freed}


def _drm_reauthorise(player: Player, _: Mapping[str, Any]) -> Values:
    player.faults -= {"drm-not-authorised"}
    ca = "Error" if "not-subscribed" in player.faults else "Enabled"
    return {"DRM.1.Status": "Enabled", "CA.1.Status": ca}


def _restart_app(player: Player, _: Mapping[str, Any]) -> Values:
    player.faults -= {"app-crashes"}
    return {"X_OLEADA_ReadyAfter": 4_200}


def _factory_reset(player: Player, _: Mapping[str, Any]) -> Values:
    player.channel, player.mode, player.pcm = "ch-1", "auto", False
    return {}


DEEDS: Final[dict[str, Callable[[Player, Mapping[str, Any]], Values]]] = {
    "media_status": _media_status,
    "hdmi_info": _hdmi_info,
    "screenshot": _media_status,
    "keys": _keys,
    "tune": _tune,
    "channel_test": _channel_test,
    "colour_bars": _colour_bars,
    "hdmi_mode": _hdmi_mode,
    "audio_mode": _audio_mode,
    "message": _message,
    "clear_cache": _clear_cache,
    "drm_reauthorise": _drm_reauthorise,
    "restart_app": _restart_app,
    "factory_reset": _factory_reset,
}


def picture(width: int, height: int) -> bytes:
    """Return a black picture as a PNG."""
    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    parts = (
        (b"IHDR", struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack("!I", len(body)) + kind + body + struct.pack("!I", zlib.crc32(kind + body))
        for kind, body in parts
    )
