"""``packet_capture``: the headers of packets, as a pcap file without hardware addresses.

An ``AF_PACKET`` socket of kind ``SOCK_DGRAM`` leaves out the link's header; of the rest
only IP and transport headers are kept, so that nobody's content leaves the home.
Source: packet(7); pcap file format, LINKTYPE_RAW (101).
"""

import select
import socket
import struct
from typing import Final

from oleada_wire.words import Refusal

from oleada_agent import clock
from oleada_agent.actions.order import Order, Teller, refused

LINKTYPE_RAW: Final = 101
MAGIC: Final = 0xA1B2C3D4
ALL_PROTOCOLS: Final = 0x0003
FILE: Final = "capture.pcap"
HEADERS: Final = {6: 20, 17: 8, 1: 8, 58: 8, 2: 8}
"""Bytes kept of what follows the IP header, by protocol: TCP, UDP, ICMP, ICMPv6, IGMP."""
IP_BYTES: Final = {4: 20, 6: 40}
SNAP_BYTES: Final = 256
PIECE_MS: Final = 1_000


def packet_capture(order: Order, teller: Teller) -> None:
    """Capture for a while and upload what was kept.

    Raises:
        ActionError: there is no such interface, or the file could not be brought.
    """
    asked = order.arguments
    began_ms, until_ms = clock.now_ms(), clock.steady_ms() + asked["duration_s"] * 1000
    records: list[bytes] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS)) as sock:
        if asked["interface"]:
            try:
                sock.bind((asked["interface"], ALL_PROTOCOLS))
            except OSError as error:
                why = f"Interface {asked['interface']}: {error}."
                raise refused(Refusal.BAD_ARGUMENT, why) from error
        while (left_ms := until_ms - clock.steady_ms()) > 0 and len(records) < asked["packets_max"]:
            teller.say({}, done_parts=10_000 - left_ms * 10 // asked["duration_s"])
            if select.select([sock], [], [], min(left_ms, PIECE_MS) / 1000)[0]:
                data = sock.recv(65_535)
                if _is_wanted(data, asked["port"]):
                    records.append(_record(data, clock.now_ms()))
    teller.upload(FILE, _file_header() + b"".join(records))
    teller.say({
        "PacketCaptureResult.1.StartTime": began_ms,
        "PacketCaptureResult.1.EndTime": clock.now_ms(),
        "PacketCaptureResult.1.Count": len(records),
        "PacketCaptureResult.1.FileLocation": FILE,
    })  # fmt: skip


def headers_of(data: bytes) -> bytes:
    """Return of an IP packet its headers and nothing of what it carries."""
    version = data[0] >> 4 if data else 0
    if version == 4:
        size_bytes, protocol = (data[0] & 15) * 4, data[9] if len(data) > 9 else 0
        is_first = len(data) < 8 or not (struct.unpack("!H", data[6:8])[0] & 0x1FFF)
    elif version == 6:
        size_bytes, protocol, is_first = 40, data[6] if len(data) > 6 else 0, True
    else:
        return b""
    more = HEADERS.get(protocol, 0) if is_first else 0
    return data[: min(size_bytes + more, SNAP_BYTES)]


def ports_of(data: bytes) -> tuple[int, int]:
    """Return the ports of a TCP or UDP packet; zeros of any other."""
    kept = headers_of(data)
    version = kept[0] >> 4 if kept else 0
    size_bytes = (kept[0] & 15) * 4 if version == 4 else 40
    protocol = kept[9] if version == 4 else kept[6] if version == 6 else 0
    if protocol not in (6, 17) or len(kept) < size_bytes + 4:
        return 0, 0
    source, target = struct.unpack("!HH", kept[size_bytes : size_bytes + 4])
    return source, target


def _is_wanted(data: bytes, port: int) -> bool:
    return len(data) >= IP_BYTES.get(data[0] >> 4 if data else 0, SNAP_BYTES * 256) and (
        not port or port in ports_of(data)
    )


def _file_header() -> bytes:
    return struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, SNAP_BYTES, LINKTYPE_RAW)


def _record(data: bytes, now_ms: int) -> bytes:
    kept = headers_of(data)
    seconds, rest_ms = divmod(now_ms, 1000)
    return struct.pack("<IIII", seconds, rest_ms * 1000, len(kept), len(data)) + kept
