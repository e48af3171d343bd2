"""A home with a box, a TV and a line: what its box reports when these faults are there.

This is no table of signs: a fault changes what the home *is* (how strong the Wi-Fi is, how
much the line loses), and what is reported follows from that, with noise. So two faults that
do the same to the picture look as alike here as they do at a desk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from oleada_server.diagnosis.shapes import Value

STB: Final = "Device.Services.STBService.1."
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


def _wifi_weak(home: Home, dice: Random) -> None:
    home.on_wifi, home.signal_dbm = True, dice.uniform(-85, -73)


def _wifi_crowded(home: Home, dice: Random) -> None:
    home.on_wifi, home.networks = True, dice.randint(6, 14)


def _access_loss(home: Home, dice: Random) -> None:
    home.line_loss_share, home.line_mbps = dice.uniform(0.002, 0.05), dice.uniform(2, 25)


def _region(home: Home, dice: Random) -> None:
    _access_loss(home, dice)
    home.many.add("region")


def _channel(home: Home, dice: Random) -> None:
    home.many.add("channel")
    home.one_channel, home.stream_breaks = True, dice.randint(80, 2000)


def _headend(home: Home, dice: Random) -> None:
    home.stream_breaks = dice.randint(80, 2000)
    if dice.random() < 0.5:
        home.many.add("channel")


def _firmware(home: Home, dice: Random) -> None:
    home.many.add("firmware")
    home.hours_since_update = dice.uniform(1, 100)
    home.crashes = dice.choice((0, 1, 3, 5))


def _blocked(home: Home, dice: Random) -> None:
    home.charges, home.no_rights = False, True
    home.error_code = dice.choice(("", "", "E14-32"))
    home.drm = dice.choice(("Enabled", "Disabled", "Disabled"))


def _keys(home: Home, dice: Random) -> None:
    home.no_rights, home.ca = True, dice.choice(("Enabled", "Error"))
    home.error_code = dice.choice(("E19-4", "E19-4", "E19-4", "E14-32"))
    home.dark_days = dice.randint(10, 90)


def _card(home: Home, dice: Random) -> None:
    home.no_rights, home.ca = True, dice.choice(("Error", "Error", "Disabled"))
    home.error_code = dice.choice(("E04-4", "E05", "E06"))


def _drm_broken(home: Home, dice: Random) -> None:
    home.drm, home.no_rights = "Error", dice.random() < 0.8


def _player_hung(home: Home, dice: Random) -> None:
    home.player_dead, home.restarts = True, dice.choice((0, 1, 3, 5))


def _cable(home: Home, dice: Random) -> None:
    home.display = dice.choice(("Error", "Error", "Error", "Present"))
    home.hdcp = home.display == "Present" and dice.random() < 0.3
    home.hdmi = dice.choice(("Enabled", "Error"))


def _resolution(home: Home, dice: Random) -> None:
    home.over_tv, home.hdmi = True, dice.choice(("Disabled", "Error", "Enabled"))
    home.hours_since_update = dice.uniform(1, 80)


def _storage_failing(home: Home, dice: Random) -> None:
    home.storage = dice.choice(("Failing", "Error"))
    home.crashes, home.watchdog_boots = dice.randint(0, 8), dice.randint(0, 3)


def _boot_loop(home: Home, dice: Random) -> None:
    home.watchdog_boots, home.crashes = dice.randint(3, 20), dice.randint(0, 6)
    home.hours_since_update = dice.choice((10.0, 40.0, 900.0))


def _power_supply(home: Home, dice: Random) -> None:
    home.cold_boots = dice.randint(4, 20)
    home.light, home.silent_s = dice.random() < 0.8, dice.choice((100, 300, 4000))


def _no_power(home: Home, dice: Random) -> None:
    home.light, home.silent_s = False, dice.randint(2000, 90_000)


def _off_network(home: Home, dice: Random) -> None:
    home.silent_s = dice.randint(2000, 90_000)


def _remote(home: Home, dice: Random, *, light: bool) -> None:
    home.keys_seen, home.remote_light = False, light
    home.reacts = dice.random() < 0.95
    home.battery = dice.randint(10, 100) if light else dice.randint(0, 12)


def _update_running(home: Home, dice: Random) -> None:
    home.updating, home.hours_since_update = True, 0.0
    home.silent_s = dice.choice((100, 300, 2500))


def _rolled_back(home: Home, dice: Random) -> None:
    home.fell_back, home.hours_since_update = True, dice.uniform(1, 160)


def _crashes(home: Home, dice: Random) -> None:
    home.crashes, home.restarts = dice.randint(3, 20), dice.randint(0, 6)


def _full(home: Home, dice: Random) -> None:
    home.free_bytes, home.crashes = int(dice.uniform(0, 2.5e7)), dice.randint(0, 6)


def _memory(home: Home, dice: Random) -> None:
    home.memory, home.crashes = dice.uniform(86, 99), dice.randint(1, 7)
    home.restarts = dice.randint(0, 5)


def _hot(home: Home, dice: Random) -> None:
    home.temperature_c, home.watchdog_boots = dice.uniform(91, 108), dice.choice((0, 0, 2))
    home.cpu += 10


def _busy(home: Home, dice: Random) -> None:
    home.cpu = dice.uniform(88, 100)


def _set(**what: Value) -> Callable[[Home, Random], None]:
    def change(home: Home, _dice: Random) -> None:
        for name, value in what.items():
            setattr(home, name, value)

    return change


def _muted(home: Home, dice: Random) -> None:
    if dice.random() < 0.8:
        home.audio = "Muted"
    else:
        home.level = dice.randint(0, 3)


def _audio(home: Home, dice: Random) -> None:
    home.audio_errors = dice.randint(40, 4000)


FAULTS: Final[dict[str, Callable[[Home, Random], None]]] = {
    "region-trouble": _region, "channel-trouble": _channel, "firmware-trouble": _firmware,
    "account-blocked": _blocked, "keys-outdated": _keys, "headend-loss": _headend,
    "not-subscribed": _set(in_package=False, one_channel=True),
    "card-not-read": _card, "drm-broken": _drm_broken, "clock-wrong": _set(clock_behind=True),
    "standby": _set(watching=False), "tv-not-connected": _set(display="None"),
    "hdmi-cable": _cable, "hdcp-refused": _set(hdcp=False), "resolution-unfit": _resolution,
    "player-hung": _player_hung, "muted": _muted, "passthrough": _set(passthrough=True),
    "audio-broken": _audio, "access-loss": _access_loss, "wifi-weak": _wifi_weak,
    "wifi-crowded": _wifi_crowded, "names-broken": _set(dns_share=0.0), "overloaded": _busy,
    "memory-short": _memory, "overheated": _hot, "storage-full": _full,
    "storage-failing": _storage_failing, "application-broken": _crashes,
    "power-supply": _power_supply, "no-power": _no_power, "off-the-network": _off_network,
    "boot-loop": _boot_loop,
    "remote-empty": lambda home, dice: _remote(home, dice, light=False),
    "remote-unpaired": lambda home, dice: _remote(home, dice, light=True),
    "update-running": _update_running, "update-rolled-back": _rolled_back,
}  # fmt: skip
"""By cause: what it changes in a home."""


def home_with(faults: Sequence[str], dice: Random) -> Home:
    """Return a home with *faults*, in their order."""
    home = healthy(dice)
    for name in faults:
        FAULTS[name](home, dice)
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
        ),
    }  # fmt: skip
    if home.on_wifi:
        found |= {
            "Device.WiFi.EndPoint.1.Stats.SignalStrength": round(home.signal_dbm),
            "Device.WiFi.EndPoint.1.Stats.Retransmissions": again,
            "result:wifi_scan:SameChannel": home.networks,
        }
    return found


def _picture(home: Home, dice: Random) -> dict[str, Value]:
    plays = home.watching and not home.player_dead and not home.no_rights and not home.updating
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
        "asked:box-sees-remote": home.keys_seen,
        "asked:remote-light": home.remote_light,
        "asked:reacts-to-key": home.reacts and not home.keys_seen and not home.player_dead,
    }
