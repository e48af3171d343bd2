"""One full message of every kind: what the golden bytes spell."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_wire.envelope import KeySigner
from oleada_wire.ids import BootId
from oleada_wire.messages import (
    Ack,
    Assign,
    Assignment,
    AuditHead,
    Cmd,
    Cohort,
    Crash,
    Deny,
    FileInfo,
    Gone,
    Header,
    Health,
    Hello,
    Lease,
    LeaseRequest,
    Log,
    Look,
    Message,
    Meta,
    Progress,
    Report,
    Result,
    Samples,
    SlotInfo,
    Wave,
    Waves,
    Window,
)
from oleada_wire.words import BootReason, LeasePhase, Phase, Reason, ResultStatus

DEVICE = "VX417Q3K0928"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
HEADER = Header("0123456789abcdef0123456789abcdef", 1_795_262_400_000, BootId(7, "0a1b2c3d"), 12)
SLOTS = (SlotInfo("A", "Active", "5.8.1", DIGEST), SlotInfo("B", "NoImage"))
SIGNERS = [KeySigner.of(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2)]
"""Two keys that every test knows; they protect nothing."""

SAMPLES: dict[str, Message] = {
    "hello": Hello(
        HEADER, "VX-410", "SN-000123", "A", "5.8.1", 3, SLOTS, "0.1.0", "Europe/Madrid",
        BootReason.POWER_ON, 41, 3, "02:00:5E:10:00:01", ("codec:hevc-main10", "drm:widevine-l1"),
    ),
    "health": Health(
        HEADER, "5.8.1", "A", SLOTS,
        {"Device.DeviceInfo.UpTime": 86_400, "X_OLEADA_FreeBytes": 1 << 30, "ready": True,
         "Device.DeviceInfo.TemperatureStatus.TemperatureSensor.1.Name": "cpu"},
        dropped=2,
    ),
    "samples": Samples(
        HEADER, "5.8.1", "A", SLOTS,
        (
            Look(11, 1_795_258_800_000, {
                "Device.DeviceInfo.UpTime": 82_800, "ready": True, "X_OLEADA_SensesFailed": "cable",
            }),
            Look(12, 1_795_262_400_000, {"Device.DeviceInfo.UpTime": 86_400},
                 ("X_OLEADA_SensesFailed",)),
        ),
        dropped=2,
    ),
    "lease-request": LeaseRequest(HEADER, "A-20418", 1, LeasePhase.START),
    "report": Report(
        HEADER, "A-20418", 1, 4, Phase.ROLLED_BACK, "5.8.1", "A", 64_000_000, Reason.HEALTH_CHECK,
        "The media player is not ready after 60 s: «señal».",
    ),
    "result": Result(HEADER, "C-77", ResultStatus.COMPLETE, "pong"),
    "progress": Progress(HEADER, "C-77", 3, 7_500, "two of four\n", {"SuccessCount": 2}),
    "log": Log(HEADER, ("first line", "second \"quoted\" line")),
    "crash": Crash(HEADER, "player", "SIGSEGV", "5.8.1"),
    "gone": Gone(HEADER),
    "assign": Assign(
        HEADER, DEVICE, 42,
        Assignment(
            "A-20418", 1, "R-107", 31, "VX-410/5.8.2.img", DIGEST, 64_000_000, "5.8.2", 3,
            1_795_262_400_000, 1_795_600_000_000, 600, Window(1380, 300), ("L" + DIGEST,),
        ),
    ),
    "lease": Lease(
        HEADER, DEVICE, "A-20418", 1, LeasePhase.ARM, granted=False, expires_ms=0,
        retry_after_s=600, reason="paused",
    ),
    "cmd": Cmd(HEADER, DEVICE, "C-77", 9, "ping", 1_795_262_460_000, {"count": 3}),
    "ack": Ack(HEADER, ("a" * 32,), ("b" * 32,)),
    "meta": Meta(HEADER, {"timestamp.json": "{}", "1.root.json": "{}"}),
    "waves": Waves(HEADER, ("{}",)),
    "wave": Wave(
        HEADER, 31, "R-107", "VX-410", "VX-410/5.8.2.img", DIGEST, 64_000_000, 3,
        Cohort(salt="a salt", share_parts=500), 1_795_262_400_000, 1_795_600_000_000,
    ),
    "deny": Deny(HEADER, "VX-410", 5, (DIGEST,)),
    "audit-head": AuditHead(HEADER, 100_003, DIGEST, "7" * 64, 0, 1_795_262_400_000),
}  # fmt: skip
LATER: dict[str, Message] = {
    "assign.v1.forced.json.sealed": Assign(HEADER, DEVICE, 43, None, is_forced=True),
    "lease.v1.request-id.json.sealed": Lease(
        HEADER, DEVICE, "A-20418", 1, LeasePhase.START, granted=True,
        expires_ms=1_795_266_000_000, request_id="c" * 32,
    ),
    "hello.v1.audit-head.json": Hello(
        HEADER, "VX-410", "SN-000123", "A", "5.8.1", 3, SLOTS, "0.1.0", "Europe/Madrid",
        BootReason.POWER_ON, 41, 3, audit_head="{}",
    ),
    "hello.v1.reads.json": Hello(
        HEADER, "VX-410", "SN-000123", "A", "5.8.1", 3, SLOTS, "0.1.0", "Europe/Madrid",
        BootReason.POWER_ON, 41, 3, reads=("batch",),
    ),
    "hello.v1.actions.json": Hello(
        HEADER, "VX-410", "SN-000123", "A", "5.8.1", 3, SLOTS, "0.1.0", "Europe/Madrid",
        BootReason.POWER_ON, 41, 3, reads=("batch", "actions"), denied=("screenshot",),
    ),
    "result.v1.action.json": Result(
        HEADER, "C-77", ResultStatus.TRANSFER, "no room", {"PacketCaptureResult.1.Count": 12},
        progress=3, is_truncated=False, files=(FileInfo("capture.pcap", 1_024, DIGEST),),
        error="died", began_ms=1_795_262_400_000,
    ),
    "cmd.v1.timeout.json.sealed": Cmd(
        HEADER, DEVICE, "C-77", 9, "ip_ping", 1_795_262_460_000, {"host": "192.0.2.1"}, 20_000,
    ),
    "ack.v1.reads.json": Ack(HEADER, ("a" * 32,), reads=("samples",)),
    "health.v1.audit-head.json": Health(HEADER, "5.8.1", "A", SLOTS, audit_head="{}"),
    "meta.v1.audit-head.json": Meta(HEADER, {"timestamp.json": "{}"}, audit_head="{}"),
}  # fmt: skip
"""By file: messages with a field that was added to a kind already shipped."""
