"""What is broken at a home: each fault changes what the home is, by the cause that it is."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from oleada_server.diagnosis.shapes import Value

from oleada_lab.diagnosis.homes import Home, healthy


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
    # Few models tell of each crash; that the player began anew they all count.
    home.crashes, home.restarts = dice.choice((0, 0, dice.randint(3, 20))), dice.randint(1, 20)


def _full(home: Home, dice: Random) -> None:
    home.free_bytes = int(dice.uniform(0, 2.5e7))
    home.crashes = dice.choice((0, 0, dice.randint(0, 6)))


def _memory(home: Home, dice: Random) -> None:
    home.memory, home.crashes = dice.uniform(86, 99), dice.choice((0, 0, dice.randint(1, 7)))
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


def _slow(home: Home, dice: Random) -> None:
    home.line_mbps = dice.uniform(1.5, 6.5)


def _lan(home: Home, dice: Random) -> None:
    home.on_wifi = False
    match dice.choice(("duplex", "slow", "errors")):
        case "duplex":
            home.half_duplex, home.cable_mbps = True, dice.choice((10, 100))
            home.cable_errors, home.line_mbps = dice.randint(0, 9000), dice.uniform(4, 30)
        case "slow":
            home.cable_mbps, home.line_mbps = 10, dice.uniform(4, 9)
        case _:
            home.cable_errors = dice.randint(200, 50_000)
            home.line_loss_share = dice.uniform(0.0005, 0.01)


def _decoder(home: Home, dice: Random) -> None:
    home.frames_lost = dice.randint(700, 20_000)


def _service(home: Home, dice: Random) -> None:
    home.portal_ms = dice.randint(6_000, 30_000)


def _hung(home: Home, dice: Random) -> None:
    _player_hung(home, dice)
    home.is_mute = dice.random() < 0.4


def _router(home: Home, dice: Random) -> None:
    _off_network(home, dice)
    home.others_online = dice.random() < 0.3


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
    "player-hung": _hung, "muted": _muted, "passthrough": _set(passthrough=True),
    "audio-broken": _audio, "access-loss": _access_loss, "wifi-weak": _wifi_weak,
    "wifi-crowded": _wifi_crowded, "names-broken": _set(dns_share=0.0), "overloaded": _busy,
    "memory-short": _memory, "overheated": _hot, "storage-full": _full,
    "storage-failing": _storage_failing, "application-broken": _crashes,
    "power-supply": _power_supply, "no-power": _no_power, "off-the-network": _router,
    "boot-loop": _boot_loop, "line-slow": _slow, "lan-cable": _lan, "decoder-failing": _decoder,
    "no-reception": _set(locked=False), "service-slow": _service,
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
