"""A box that a customer calls about, and a day of the fleet's health, for pages to show."""

import math
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from oleada_server.actions.models import ActionFile, ActionOrder, ActionPart
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.diagnosis import hours, reading
from oleada_server.diagnosis.models import Complaint, HealthFold, ModelHour, ModelReading
from oleada_server.telemetry.models import HealthSample
from sqlalchemy import insert, select

STB: Final = "Device.Services.STBService.1."
TOTAL: Final = f"{STB}ServiceMonitoring.MainStream.1.Total."
SIGNAL: Final = "Device.WiFi.EndPoint.1.Stats.SignalStrength"
RETRIES: Final = "Device.WiFi.EndPoint.1.Stats.Retransmissions"
EACH: Final = timedelta(minutes=5)


def add_a_call(device_id: str, now: datetime, seed: int = 11) -> None:
    """Let a box tell a day with a weak Wi-Fi, a complaint, and checks of which two still run."""
    dice = Random(seed)
    device = db.session.get_one(Device, device_id)
    said = [(now - n * EACH, _said(n, dice)) for n in range(288, -1, -1)]
    rows = [
        {
            "device_id": device_id, "boot": "00000009-0badc0de", "seq": 20_000 + n,
            "version": device.version, "parameters": one, "box_at": at, "received_at": at,
        }
        for n, (at, one) in enumerate(said)
    ]  # fmt: skip
    db.session.execute(insert(HealthSample), rows)
    device.reads_actions, device.health, device.health_at = True, said[-1][1], now
    device.last_seen_at = now
    db.session.add(
        Complaint(
            device_id=device_id, symptom="buffering", channel="", region=device.region,
            hardware_model=device.hardware_model, version=device.version,
            at=now - timedelta(minutes=2), said_by="user:a.torres",
        )
    )  # fmt: skip
    _checks(device_id, now - timedelta(minutes=1))
    db.session.commit()


def count_health(now: datetime, models: dict[str, int], seed: int = 13) -> None:
    """Store the hours of *models*, boxes by name, over a week; one sign grows on the first."""
    dice = Random(seed)
    last = hours.hour_of(now) - timedelta(hours=1)
    told = ["wifi-signal-low", "cpu-high", "memory-high", "hot", "underruns", "rtp-loss",
            "drm-not-enabled", "storage-full", "muted"]  # fmt: skip
    for at_model, (model, boxes) in enumerate(models.items()):
        for n in range(168):
            grown = 1 + (n / 60 if not at_model else 0)
            counts = {
                name: [boxes, int(boxes * 0.004 * place * grown * (1 + dice.random() / 4))]
                for place, name in enumerate(told)
            }
            at = last - timedelta(hours=167 - n)
            db.session.add(ModelHour(hardware_model=model, at=at, boxes=boxes, counts=counts))
        facts = [reading.library().signs[name].fact.removeprefix(hours.RISE) for name in told]
        for path in facts:
            db.session.add(ModelReading(hardware_model=model, path=path, at=last))
    if db.session.scalar(select(HealthFold.id)) is None:
        db.session.add(HealthFold(id=1, since=last, until=last, device_id=""))
    db.session.commit()


def _said(n: int, dice: Random) -> dict[str, Any]:
    wave = math.sin(n / 40)
    is_weak = n < 80
    asleep = 100 < n < 190
    return {
        "Device.DeviceInfo.UpTime": 90_000 - n * 300,
        "Device.DeviceInfo.MemoryStatus.Total": 1_900_000,
        "Device.DeviceInfo.MemoryStatus.Free": 700_000 + dice.randint(0, 40_000),
        "Device.DeviceInfo.ProcessStatus.CPUUsage": 8 if asleep else 35 + dice.randint(0, 9),
        "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.1.Value": int(56 + 9 * wave),
        "X_OLEADA_FreeBytes": 700_000_000 + n * 100_000,
        SIGNAL: (-79 if is_weak else -58) + dice.randint(-2, 2),
        RETRIES: 38 if is_weak else 3,
        f"{STB}X_OLEADA_Standby": asleep,
        f"{STB}X_OLEADA_Ready": True,
        f"{STB}Components.HDMI.1.Status": "Enabled",
        f"{STB}Components.DRM.1.Status": "Enabled",
        f"{TOTAL}DejitteringStats.Underruns": 900 - 3 * n if n < 80 else 660 - n // 40,
        f"{TOTAL}RTPStats.PacketsLostBeforeEC": 4000 - 10 * n,
    }


def _checks(device_id: str, at: datetime) -> None:
    answers: list[tuple[str, str | None, dict[str, Any], str]] = [
        ("media_status", "Complete", {f"{STB}X_OLEADA_Ready": True}, ""),
        ("self_test", "Complete", {"Results": "passed", "X_OLEADA_Test.1.Name": "disk",
                                   "X_OLEADA_Test.1.Passed": True}, ""),
        ("ip_ping", "Complete", {"SuccessCount": 3, "FailureCount": 1,
                                 "AverageResponseTime": 41}, ""),
        ("log_pull", "Complete", {"VendorLogFile.1.X_OLEADA_SizeBytes": 40_960},
         "wlan0: beacon loss\nplayer: underrun"),
        ("dns_lookup", None, {}, ""),
        ("hdmi_info", None, {}, ""),
    ]  # fmt: skip
    for n, (action, status, values, output) in enumerate(answers):
        found = ActionOrder(
            id=f"{n:032x}", device_id=device_id, action=action, arguments={},
            reason="complaint: buffering", consent="none", asked_by="user:a.torres",
            asked_at=at + timedelta(seconds=n / 10), key=None, request_sha256="", cmd_seq=n + 1,
            timeout_ms=20_000, expires_at=at + timedelta(minutes=3), status=status,
            heard_at=at if status else None,
            ended_at=at + timedelta(seconds=1 + n) if status else None,
        )  # fmt: skip
        db.session.add(found)
        db.session.flush()
        if status:
            db.session.add(
                ActionPart(
                    order_id=found.id, number=65, output=output, values=values, received_at=at
                )
            )
    log = ActionFile(
        order_id=f"{3:032x}", name="log.txt", size_bytes=40_960, sha256="0" * 64, uploaded_at=at
    )
    db.session.add(log)
