"""Actions that measure the network from the box."""

from typing import Final

from oleada_wire.actions import Action, Argument, Consent, Field, Needs, Risk
from oleada_wire.words import ResultStatus

HOST: Final = Argument("host", str, 1, 253, pattern=r"[A-Za-z0-9]([A-Za-z0-9.:_-]*[A-Za-z0-9])?")
URL: Final = Argument("url", str, 8, 1_024, pattern=r"https?://[A-Za-z0-9.\[][^\s\"'<>\\@]*")
REACHING: Final = (
    ResultStatus.CANNOT_RESOLVE, ResultStatus.NO_ROUTE, ResultStatus.NO_RESPONSE,
)  # fmt: skip
LOADING: Final = (
    ResultStatus.CANNOT_RESOLVE, ResultStatus.INIT_CONNECTION, ResultStatus.NO_RESPONSE,
    ResultStatus.TRANSFER,
)  # fmt: skip

IP_PING: Final = Action(
    "ip_ping",
    "Device.IP.Diagnostics.IPPing()",
    "Ping a host and say how many answers came and how fast.",
    "sends up to 50 ICMP packets; needs CAP_NET_RAW or a permitted ping_group_range",
    Risk.READ,
    arguments=(
        HOST,
        Argument("repetitions", int, 1, 50, default=4),
        Argument("timeout_ms", int, 100, 10_000, "ms", default=1_000),
        Argument("interval_ms", int, 20, 5_000, "ms", default=200),
        Argument("block_bytes", int, 8, 1_400, "bytes", default=56),
    ),
    results=(
        Field("IPAddressUsed", str),
        Field("SuccessCount", int),
        Field("FailureCount", int),
        Field("AverageResponseTime", int, "ms"),
        Field("MinimumResponseTime", int, "ms"),
        Field("MaximumResponseTime", int, "ms"),
        Field("AverageResponseTimeDetailed", int, "µs"),
        Field("MinimumResponseTimeDetailed", int, "µs"),
        Field("MaximumResponseTimeDetailed", int, "µs"),
    ),
    timeout_ms=20_000,
    is_safe_while_watching=True,
    errors=REACHING,
)
TRACEROUTE: Final = Action(
    "traceroute",
    "Device.IP.Diagnostics.TraceRoute()",
    "Say which routers are on the way to a host.",
    "sends up to 90 UDP packets that expire on the way",
    Risk.READ,
    arguments=(
        HOST,
        Argument("tries", int, 1, 3, default=1),
        Argument("timeout_ms", int, 100, 5_000, "ms", default=1_000),
        Argument("hops_max", int, 1, 30, default=20),
    ),
    results=(
        Field("IPAddressUsed", str),
        Field("ResponseTime", int, "ms"),
        Field("RouteHops.{i}.HostAddress", str),
        Field("RouteHops.{i}.ErrorCode", int),
        Field("RouteHops.{i}.RTTimes", str, "ms"),
    ),
    timeout_ms=30_000,
    is_safe_while_watching=True,
    errors=REACHING,
)
DNS_LOOKUP: Final = Action(
    "dns_lookup",
    "Device.DNS.Diagnostics.NSLookupDiagnostics()",
    "Ask for the addresses of a name, of the box's own resolver or of another one.",
    "sends up to 10 questions by UDP",
    Risk.READ,
    arguments=(
        HOST,
        Argument("server", str, 0, 64, default="", pattern=r"[0-9A-Fa-f.:]*"),
        Argument("port", int, 1, 65_535, default=53),
        Argument("repetitions", int, 1, 10, default=1),
        Argument("timeout_ms", int, 100, 10_000, "ms", default=2_000),
    ),
    results=(
        Field("SuccessCount", int),
        Field("Result.{i}.Status", str),
        Field("Result.{i}.AnswerType", str),
        Field("Result.{i}.HostNameReturned", str),
        Field("Result.{i}.IPAddresses", str),
        Field("Result.{i}.DNSServerIP", str),
        Field("Result.{i}.ResponseTime", int, "ms"),
    ),
    is_safe_while_watching=True,
    errors=(ResultStatus.CANNOT_RESOLVE, ResultStatus.NO_RESPONSE),
)
DOWNLOAD_TEST: Final = Action(
    "download_test",
    "Device.IP.Diagnostics.DownloadDiagnostics()",
    "Load from a host that the box's settings allow, and say how fast that went.",
    "takes the household's line for the duration; nothing is kept",
    Risk.DISTURBS,
    arguments=(
        URL,
        Argument("duration_s", int, 1, 30, "s", default=5),
        Argument("bytes_max", int, 1_000, 256_000_000, "bytes", default=32_000_000),
    ),
    results=(
        Field("ROMTime", int, "ms since 1970"),
        Field("BOMTime", int, "ms since 1970"),
        Field("EOMTime", int, "ms since 1970"),
        Field("TCPOpenResponseTime", int, "ms"),
        Field("TestBytesReceived", int, "bytes"),
        Field("PeriodOfFullLoading", int, "µs"),
        Field("X_OLEADA_Rate", int, "kbit/s"),
        Field("IncrementalResult.{i}.TestBytesReceived", int, "bytes"),
    ),
    timeout_ms=45_000,
    errors=LOADING,
)
UPLOAD_TEST: Final = Action(
    "upload_test",
    "Device.IP.Diagnostics.UploadDiagnostics()",
    "Send zeros to a host that the box's settings allow, and say how fast that went.",
    "takes the household's line for the duration",
    Risk.DISTURBS,
    arguments=(URL, Argument("bytes", int, 1_000, 64_000_000, "bytes", default=4_000_000)),
    results=(
        Field("ROMTime", int, "ms since 1970"),
        Field("BOMTime", int, "ms since 1970"),
        Field("EOMTime", int, "ms since 1970"),
        Field("TCPOpenResponseTime", int, "ms"),
        Field("TestBytesSent", int, "bytes"),
        Field("PeriodOfFullLoading", int, "µs"),
        Field("X_OLEADA_Rate", int, "kbit/s"),
    ),
    timeout_ms=45_000,
    errors=LOADING,
)
UDP_ECHO: Final = Action(
    "udp_echo",
    "Device.IP.Diagnostics.UDPEchoDiagnostics()",
    "Send packets to an echo server that the box's settings allow; say loss and jitter.",
    "sends up to 200 UDP packets",
    Risk.READ,
    arguments=(
        HOST,
        Argument("port", int, 1, 65_535, default=7),
        Argument("repetitions", int, 1, 200, default=20),
        Argument("interval_ms", int, 5, 1_000, "ms", default=20),
        Argument("timeout_ms", int, 100, 5_000, "ms", default=1_000),
    ),
    results=(
        Field("IPAddressUsed", str),
        Field("SuccessCount", int),
        Field("FailureCount", int),
        Field("AverageResponseTime", int, "µs"),
        Field("MinimumResponseTime", int, "µs"),
        Field("MaximumResponseTime", int, "µs"),
        Field("X_OLEADA_Jitter", int, "µs"),
    ),
    is_safe_while_watching=True,
    errors=REACHING,
)
WIFI_SCAN: Final = Action(
    "wifi_scan",
    "Device.WiFi.NeighboringWiFiDiagnostic()",
    "Say how strong the box's own Wi-Fi is and who else is on the air, without their names.",
    "leaves the channel for some hundred milliseconds",
    Risk.DISTURBS,
    results=(
        Field("WiFi.EndPoint.1.Stats.SignalStrength", int, "dBm"),
        Field("WiFi.EndPoint.1.Stats.Retransmissions", int),
        Field("Result.{i}.X_OLEADA_IsOwn", bool),
        Field("Result.{i}.Channel", int),
        Field("Result.{i}.SignalStrength", int, "dBm"),
        Field("Result.{i}.OperatingFrequencyBand", str),
        Field("Result.{i}.SecurityModeEnabled", str),
    ),
    timeout_ms=20_000,
    needs=Needs.WIFI,
)
PACKET_CAPTURE: Final = Action(
    "packet_capture",
    "Device.PacketCaptureDiagnostics()",
    "Upload the headers, and never the contents, of packets that come and go.",
    "reads every packet of one interface; no hardware addresses, no payload",
    Risk.READ,
    Consent.VIEWER,
    arguments=(
        Argument("interface", str, 0, 15, default="", pattern=r"[A-Za-z0-9._-]*"),
        Argument("duration_s", int, 1, 60, "s", default=10),
        Argument("packets_max", int, 1, 50_000, default=5_000),
        Argument("port", int, 0, 65_535, default=0),
    ),
    results=(
        Field("PacketCaptureResult.1.StartTime", int, "ms since 1970"),
        Field("PacketCaptureResult.1.EndTime", int, "ms since 1970"),
        Field("PacketCaptureResult.1.Count", int),
        Field("PacketCaptureResult.1.FileLocation", str),
    ),
    timeout_ms=70_000,
    timeout_ms_max=120_000,
    is_safe_while_watching=True,
    needs=Needs.ROOT,
    files=("capture.pcap",),
    errors=(ResultStatus.TRANSFER,),
)
MEASURING: Final = (
    IP_PING, TRACEROUTE, DNS_LOOKUP, DOWNLOAD_TEST, UPLOAD_TEST, UDP_ECHO, WIFI_SCAN,
    PACKET_CAPTURE,
)  # fmt: skip
