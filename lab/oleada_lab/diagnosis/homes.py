"""A home with a box, a TV and a line: what its box reports when these faults are there.

This is no table of signs: a fault changes what the home *is* (how strong the Wi-Fi is, how
much the line loses), and what is reported follows from that, with noise. So two faults that
do the same to the picture look as alike here as they do at a desk.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Final

from oleada_server.diagnosis.shapes import Value

STB: Final = "Device.Services.STBService.1."
CABLE: Final = "Device.Ethernet.Interface.1."
STREAM: Final = f"hour:{STB}ServiceMonitoring.MainStream.1.Total."
FRAMES_AN_HOUR: Final = 90_000
PACKETS_AN_HOUR: Final = 1_700_000
"""Of an HD channel of 5 Mbit/s in packets of 1316 bytes."""


@dataclass(slots=True)
class Home:
    """What is so in one home; the defaults are of a healthy one."""

    on_wifi: bool = True
    signal_dbm: float = -55
    networks: int = 2
    line_loss_share: float = 0.0
    line_mbps: float = 60
    dns_share: float = 1.0
    cpu: float = 35
    memory: float = 50
    temperature_c: float = 58
    free_bytes: int = 400_000_000
    storage: str = "OK"
    watching: bool = True
    player_dead: bool = False
    display: str = "Present"
    hdmi: str = "Enabled"
    hdcp: bool = True
    over_tv: bool = False
    audio: str = "Enabled"
    level: int = 60
    passthrough: bool = False
    audio_errors: int = 0
    stream_breaks: int = 0
    no_rights: bool = False
    charges: bool = True
    in_package: bool = True
    dark_days: int = 0
    drm: str = "Enabled"
    ca: str = "Enabled"
    error_code: str = ""
    restarts: int = 0
    battery: int = 80
    clock_behind: bool = False
    crashes: int = 0
    cold_boots: int = 0
    watchdog_boots: int = 0
    silent_s: int = 120
    light: bool = True
    keys_seen: bool = True
    remote_light: bool = True
    reacts: bool = True
    one_channel: bool = False
    hours_since_update: float = 2000
    fell_back: bool = False
    updating: bool = False
    many: set[str] = field(default_factory=set)
    half_duplex: bool = False
    cable_mbps: int = 1000
    cable_errors: int = 0
    frames_lost: int = 0
    locked: bool = True
    portal_ms: int = 0
    is_mute: bool = False
    others_online: bool = True


def healthy(dice: Random) -> Home:
    """Return a home without a fault; homes differ, and few are perfect."""
    home = Home(
        on_wifi=dice.random() < 0.7,
        signal_dbm=dice.gauss(-56, 5),
        networks=dice.choice((0, 1, 1, 2, 2, 3, 3, 4)),
        line_mbps=dice.uniform(20, 120),
        cpu=dice.gauss(38, 11),
        memory=dice.gauss(52, 7),
        temperature_c=dice.gauss(60, 6),
        free_bytes=int(dice.uniform(8e7, 9e8)),
        cold_boots=dice.choice((0, 0, 0, 0, 1, 1, 2)),
        crashes=dice.choice((0, 0, 0, 0, 0, 0, 0, 1)),
        level=dice.randint(25, 100),
        hours_since_update=dice.uniform(1, 2500),
        silent_s=dice.randint(5, 420),
        battery=dice.randint(12, 100),
    )
    if dice.random() < 0.02:
        home.line_loss_share = 0.0002
    return home


def shown(home: Home, dice: Random) -> dict[str, Value]:
    """Return every fact that this home could show, by name, if nothing were missing."""
    return {**_picture(home, dice), **_line(home, dice), **_box(home), **_known(home)}


def _air(home: Home, dice: Random) -> int:
    """Return how many of 100 packets go over the air again."""
    if not home.on_wifi:
        return 0
    far, crowd = max(0.0, -64 - home.signal_dbm), max(0, home.networks - 4)
    return round(min(90.0, max(0.0, dice.gauss(4, 2.5)) + 1.6 * far + 4.5 * crowd))


def _line(home: Home, dice: Random) -> dict[str, Value]:
    again = _air(home, dice)
    air_loss = max(0.0, (again - 20) / 100) ** 2 * 0.2
    loss = min(home.line_loss_share + air_loss, 0.5)
    mbps = home.line_mbps * (1 - min(loss * 8, 0.9))
    if home.on_wifi:
        mbps = min(mbps, max(1.5, 90 - again * 2.2 + dice.gauss(0, 4)))
    stalls = loss * 2500 + max(0.0, 7 - mbps) * 8 + max(0.0, home.cpu - 84) * 3
    packets = round(loss * PACKETS_AN_HOUR * dice.uniform(0.7, 1.3))
    found: dict[str, Value] = {
        f"{STREAM}RTPStats.PacketsLostBeforeEC": packets + dice.randint(0, 40),
        f"{STREAM}DejitteringStats.Underruns": round(stalls * dice.uniform(0.6, 1.4))
        + dice.choice((0, 0, 0, 1, 2)),
        f"{STREAM}MPEG2TSStats.PacketDiscontinuityCounterBeforeCA": home.stream_breaks
        + dice.randint(0, 8),
        "result:ip_ping:FailureCount": sum(dice.random() < loss * 3 for _ in range(10)),
        "result:dns_lookup:SuccessCount": round(3 * home.dns_share),
        "result:download_test:X_OLEADA_Rate": round(1000 * mbps * dice.uniform(0.85, 1.1)),
        f"{STB}ServiceMonitoring.GlobalOperation.Total.MaximumPortalResponse": round(
            dice.uniform(200, 2500)
            + 9000 * (1 - home.dns_share)
            + max(0, home.cpu - 84) * 350
            + home.portal_ms
        ),
        f"{STREAM}VideoDecoderStats.LostFrames": home.frames_lost
        + round(packets * 0.02 + home.stream_breaks * dice.uniform(0.05, 0.5))
        + dice.randint(0, 12),
        "server:on_wifi": home.on_wifi,
        f"{CABLE}Status": "Down" if home.on_wifi else "Up",
    }  # fmt: skip
    if not home.on_wifi:
        found |= {
            "server:cable_poor": home.half_duplex or home.cable_mbps < 100,
            f"hour:{CABLE}Stats.ErrorsReceived": home.cable_errors + dice.choice((0, 0, 0, 3)),
        }
    if home.on_wifi:
        found |= {
            "Device.WiFi.EndPoint.1.Stats.SignalStrength": round(home.signal_dbm),
            "Device.WiFi.EndPoint.1.Stats.Retransmissions": again,
            "result:wifi_scan:SameChannel": home.networks,
        }
    return found


def _picture(home: Home, dice: Random) -> dict[str, Value]:
    plays = home.watching and not home.player_dead and not home.no_rights and not home.updating
    plays = plays and home.locked
    frames = FRAMES_AN_HOUR - dice.randint(0, 300) if plays else 0
    found: dict[str, Value] = {
        f"{STB}Components.HDMI.1.DisplayDevice.Status": home.display,
        f"{STB}Components.HDMI.1.Status": home.hdmi,
        "server:resolution_over_tv": home.over_tv,
        f"{STB}X_OLEADA_Standby": not home.watching,
        f"{STB}X_OLEADA_Ready": not home.player_dead,
        f"{STB}Components.DRM.1.Status": home.drm,
        f"{STB}Components.CA.1.Status": home.ca,
        f"{STB}X_OLEADA_LastErrorCode": home.error_code,
        f"{STB}X_OLEADA_Subscribed": home.charges and home.in_package,
        f"{STB}X_OLEADA_RemoteBattery": home.battery,
        f"hour:{STB}X_OLEADA_RestartCount": home.restarts,
        f"{STB}Components.AudioOutput.1.Status": home.audio,
        f"{STB}Components.AudioOutput.1.AudioLevel": home.level,
        f"{STB}Components.SPDIF.1.Passthrough": home.passthrough or dice.random() < 0.04,
        f"{STREAM}AudioDecoderStats.DecodingErrors": home.audio_errors + dice.randint(0, 6),
    }
    if not home.locked:
        found[f"{STB}Components.FrontEnd.1.DVBT.Modulation.Locked"] = False
    if home.is_mute:  # what it does not say, nobody knows
        own = {name: value for name, value in found.items() if name.startswith("server:")}
        return own | {"X_OLEADA_SensesFailed": "player"}
    if home.display == "Present":
        found[f"{STB}Components.VideoOutput.1.HDCP"] = home.hdcp
    if home.watching:
        found[f"{STREAM}VideoDecoderStats.DecodedFrames"] = frames
    return found


def _box(home: Home) -> dict[str, Value]:
    return {
        "Device.DeviceInfo.ProcessStatus.CPUUsage": round(min(100, max(1, home.cpu))),
        "server:memory_used_percent": round(home.memory),
        "server:hottest_c": round(home.temperature_c),
        "X_OLEADA_FreeBytes": home.free_bytes,
        "X_OLEADA_ClockBehindFloor": home.clock_behind,
        "Device.Services.StorageService.1.PhysicalMedium.1.Health": home.storage,
    }


def _known(home: Home) -> dict[str, Value]:
    return {
        "server:scope.region": "region" in home.many,
        "server:scope.channel": "channel" in home.many,
        "server:scope.firmware": "firmware" in home.many,
        "server:dark_days_before_boot": home.dark_days,
        "server:crashes_24h": home.crashes,
        "server:cold_boots_24h": home.cold_boots,
        "server:watchdog_boots_24h": home.watchdog_boots,
        "server:silent_s": home.silent_s,
        "server:hours_since_update": round(home.hours_since_update),
        "server:fell_back_7d": home.fell_back,
        "server:updating": home.updating,
        "asked:one-channel-only": home.one_channel,
        "asked:charges-active": home.charges,
        "asked:in-package": home.in_package,
        "asked:led-on": home.light,
        "asked:others-online": home.others_online,
        "asked:box-sees-remote": home.keys_seen,
        "asked:remote-light": home.remote_light,
        "asked:reacts-to-key": home.reacts and not home.keys_seen and not home.player_dead,
    }
