"""What the box measures of the network, against servers that this test runs on loopback."""

import http.server
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from oleada_agent.actions import (
    capture,
    echoing,
    loading,
    pinging,
    processes,
    resolving,
    tracing,
    wifi,
)
from oleada_agent.actions.order import ActionError, Order
from oleada_agent.senses import air
from oleada_wire.action_table import TABLE
from oleada_wire.actions import arguments_of, find
from oleada_wire.words import Refusal, ResultStatus

from tests.agent.actions.bench import Told

ALLOWED = {"test_hosts": ["127.0.0.1"]}
BODY = b"x" * 500_000


def run(do: Callable[[Order, Any], None], settings: Any = None, **given: Any) -> Told:
    """Do one action in this process."""
    machine = given.pop("machine", Path("/"))
    action = find(TABLE, do.__name__)
    assert action is not None
    arguments = arguments_of(action, given)
    told = Told()
    do(Order(action, arguments, "C-1", Path("/nowhere"), settings or {}, 5_000, machine), told)
    known = {field.name for field in action.results}
    odd = {name for name in told.values if resolving_name(name) not in known}
    assert odd == set(), "the table does not know what the action tells"
    return told


def resolving_name(name: str) -> str:
    """Return *name* with ``{i}`` for its number, as the table has it."""
    return ".".join("{i}" if part.isdigit() and "PacketCapture" not in name and "EndPoint" not in
                    name else part for part in name.split("."))  # fmt: skip


@contextmanager
def udp_server(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """Answer every packet on loopback as *answer* says; yields the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, who = sock.recvfrom(4096)
                if data == b"stop":
                    return
                if (said := answer(data)) is not None:
                    sock.sendto(said, who)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"stop", sock.getsockname())
            thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives and takes bytes."""

    def do_GET(self) -> None:
        """Give."""
        status = 404 if self.path == "/no" else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_POST(self) -> None:
        """Take."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


@pytest.fixture
def web() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def dns_answer(data: bytes, *, rcode: int = 0, names: bytes = b"\xc0\x0c") -> bytes:
    """Return a good answer to the question in *data*, with one address."""
    flags = 0x8180 | rcode
    head = struct.pack("!HHHHHH", int.from_bytes(data[:2], "big"), flags, 1, rcode == 0, 0, 0)
    answer = names + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 7])
    return head + data[12:] + (answer if rcode == 0 else b"")


def test_the_loopback_is_one_hop_away() -> None:
    values = run(tracing.traceroute, host="127.0.0.1").values

    assert values["RouteHops.1.HostAddress"] == "127.0.0.1"
    assert values["RouteHops.1.ErrorCode"] == 3
    assert "RouteHops.2.HostAddress" not in values


def test_a_host_without_a_name_is_told_in_the_standard_s_words() -> None:
    with pytest.raises(ActionError) as unknown:
        run(pinging.ip_ping, host="no-such-host.invalid")

    assert unknown.value.status is ResultStatus.CANNOT_RESOLVE


def test_a_name_is_asked_of_a_server() -> None:
    with udp_server(dns_answer) as port:
        values = run(
            resolving.dns_lookup, host="a.example", server="127.0.0.1", port=port, repetitions=2
        ).values

    assert (values["SuccessCount"], values["Result.2.Status"]) == (2, "Success")
    assert values["Result.1.IPAddresses"] == "192.0.2.7"
    assert values["Result.1.HostNameReturned"] == "a.example"


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (lambda data: dns_answer(data, rcode=3), ResultStatus.CANNOT_RESOLVE, "NotResolved"),
        (lambda data: None, ResultStatus.NO_RESPONSE, "Error_Timeout"),
        (lambda data: dns_answer(data, names=b"\xc0\xff"), ResultStatus.CANNOT_RESOLVE, "NotRes"),
    ],
    ids=["no such name", "silent", "nonsense"],
)
def test_a_server_of_names_that_does_not_do_well(answer: Any, status: Any, said: str) -> None:
    with udp_server(answer) as port, pytest.raises(ActionError, match=said) as ended:
        run(resolving.dns_lookup, host="a.b", server="127.0.0.1", port=port, timeout_ms=100)

    assert ended.value.status is status


def test_no_answer_of_dns_makes_the_box_stumble() -> None:
    dice = Random(7)
    good = dns_answer(resolving.question(7, "www.example.net"))
    assert resolving.read(good).addresses == ("192.0.2.7",)
    for cut in range(len(good)):
        resolving.read(good[:cut])
    for _ in range(2_000):
        bad = bytearray(good)
        for _ in range(3):
            bad[dice.randrange(2, len(bad))] = dice.randrange(256)
        assert resolving.read(bytes(bad)).status in resolving.STATUS


def test_echoes_are_counted_with_their_jitter() -> None:
    with udp_server(lambda data: data if data[11] != 2 else None) as port:
        values = run(
            echoing.udp_echo, ALLOWED, host="127.0.0.1", port=port, repetitions=4, timeout_ms=100,
            interval_ms=5,
        ).values  # fmt: skip

    assert (values["SuccessCount"], values["FailureCount"]) == (3, 1)
    assert echoing.jitter_us([100, 116, 116]) == 1
    assert echoing.jitter_us([100, 260, 260]) == 9


def test_a_download_is_measured_and_kept_nowhere(web: str) -> None:
    values = run(loading.download_test, ALLOWED, url=f"{web}/a", bytes_max=200_000).values

    assert values["TestBytesReceived"] == 200_000
    assert values["X_OLEADA_Rate"] == 200_000 * 8_000 // int(values["PeriodOfFullLoading"])
    assert int(values["ROMTime"]) <= int(values["BOMTime"]) <= int(values["EOMTime"])


def test_an_upload_is_measured(web: str) -> None:
    values = run(loading.upload_test, ALLOWED, url=f"{web}/b", bytes=300_000).values

    assert (values["TestBytesSent"], int(values["X_OLEADA_Rate"]) > 0) == (300_000, True)


def test_a_host_that_refuses_or_does_not_listen_is_told_of(web: str) -> None:
    with pytest.raises(ActionError, match="answers 404") as refused:
        run(loading.download_test, ALLOWED, url=f"{web}/no")
    assert refused.value.status is ResultStatus.TRANSFER
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        with pytest.raises(ActionError) as deaf:
            run(loading.download_test, ALLOWED, url=url)
    assert deaf.value.status is ResultStatus.INIT_CONNECTION


@pytest.mark.parametrize("do", [loading.download_test, loading.upload_test, echoing.udp_echo])
def test_no_server_points_a_fleet_at_a_host_that_the_box_does_not_name(do: Any) -> None:
    target = {"host": "192.0.2.1"} if do is echoing.udp_echo else {"url": "http://192.0.2.1/"}
    with pytest.raises(ActionError, match="test_hosts") as refused:
        run(do, ALLOWED, **target)

    assert refused.value.refusal is Refusal.DENIED


def test_processes_are_listed_without_what_they_were_started_with(tmp_path: Path) -> None:
    for pid, name, pages in ((7, "small (one)", 10), (8, "large", 900)):
        place = tmp_path / f"proc/{pid}"
        place.mkdir(parents=True)
        rest = "S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 5 0 " + f"{pages} 0"
        (place / "stat").write_text(f"{pid} ({name}) {rest}\n")
        (place / "cmdline").write_text("--token=tok-4711")
    values = run(processes.process_list, machine=tmp_path).values

    assert values["ProcessStatus.Process.1.Command"] == "large"
    assert values["ProcessStatus.Process.2.Command"] == "small (one)"
    assert values["ProcessStatus.Process.2.CPUTime"] == 3_000
    assert "4711" not in str(values)


SCAN = """\
BSS 02:00:5e:10:00:01(on wlan0) -- associated
\tfreq: 5180
\tcapability: ESS Privacy (0x0011)
\tsignal: -71.00 dBm
\tSSID: Casa de Nadie
\tRSN:\t * Version: 1
BSS 02:00:5e:10:00:02(on wlan0)
\tfreq: 2437
\tsignal: -40.00 dBm
\tSSID: neighbour
BSS broken
\tSSID: half a block
"""


def test_neighbours_on_the_air_have_channels_and_no_names() -> None:
    first, second = wifi.neighbours(SCAN)

    assert first["Result.1.X_OLEADA_IsOwn"] is True
    assert (first["Result.1.Channel"], first["Result.1.SecurityModeEnabled"]) == (36, "WPA2")
    assert (second["Result.2.Channel"], second["Result.2.SecurityModeEnabled"]) == (6, "None")
    for secret in ("02:00", "Casa", "neighbour"):
        assert secret not in str((first, second))


@pytest.mark.parametrize(
    ("mhz", "channel"), [(2412, 1), (2484, 14), (5955, 1), (5825, 165), (1, 0)]
)
def test_channels_are_those_of_the_standard(mhz: int, channel: int) -> None:
    assert air.channel_of(mhz) == channel


def test_a_box_without_wifi_says_so(tmp_path: Path) -> None:
    with pytest.raises(ActionError, match="no Wi-Fi") as refused:
        run(wifi.wifi_scan, machine=tmp_path)

    assert refused.value.refusal is Refusal.NOT_ON_THIS_MODEL


def test_a_capture_has_headers_and_nothing_of_what_was_said() -> None:
    udp = struct.pack("!HHHH", 5000, 53, 40, 0) + b"who watches what"
    packet = bytes([0x45, 0]) + struct.pack("!HHHBBH", 44, 1, 0, 64, 17, 0) + bytes(8) + udp
    kept = capture.headers_of(packet)

    assert kept == packet[:28]
    assert capture.ports_of(packet) == (5000, 53)
    assert capture.headers_of(b"") == b""
    for cut in range(len(packet)):
        assert b"watches" not in capture.headers_of(packet[:cut])


def test_a_capture_of_loopback_sees_a_packet_and_not_its_words() -> None:
    with udp_server(lambda data: None) as port:
        stop = threading.Event()

        def talk() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                while not stop.wait(0.02):
                    sock.sendto(b"a secret said aloud", ("127.0.0.1", port))

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            told = run(
                capture.packet_capture, interface="lo", duration_s=60, packets_max=2, port=port
            )
        finally:
            stop.set()
            thread.join()

    data = told.files["capture.pcap"]
    assert struct.unpack_from("<IHHiIII", data)[0::6] == (0xA1B2C3D4, 101)
    assert told.values["PacketCaptureResult.1.Count"] == 2
    assert len(data) == 24 + 2 * (16 + 28)
    assert b"secret" not in data
