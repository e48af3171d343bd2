"""The names of what a box tells of its health, with their units: TR-181 and TR-135.

A reading that is missing is not reported by this model; it is never a zero. Boxes may
say more than stands here; the agent drops readings of the media player that do not.
Source: TR-181 2.x (DeviceInfo, Ethernet, WiFi, StorageService), TR-135 1.4.1
(STBService); ``X_OLEADA_`` is our own where the standard has no name.
"""

import re
from typing import Final

from oleada_wire.actions import Field

DEVICE: Final = "Device.DeviceInfo."
STB: Final = "Device.Services.STBService.1."
MAIN: Final = f"{STB}ServiceMonitoring.MainStream.1."
TOTAL: Final = f"{MAIN}Total."

SYSTEM: Final = (
    Field(f"{DEVICE}UpTime", int, "s"),
    Field(f"{DEVICE}MemoryStatus.Total", int, "KiB"),
    Field(f"{DEVICE}MemoryStatus.Free", int, "KiB"),
    Field(f"{DEVICE}MemoryStatus.TotalPersistent", int, "KiB"),
    Field(f"{DEVICE}MemoryStatus.FreePersistent", int, "KiB"),
    Field(f"{DEVICE}MemoryStatus.MemoryMonitor.MemUtilization", int, "%"),
    Field(f"{DEVICE}MemoryStatus.MemoryMonitor.X_OLEADA_Critical", bool),
    Field(f"{DEVICE}ProcessStatus.CPUUsage", int, "%"),
    Field(f"{DEVICE}ProcessStatus.CPU.1.UserModeUtilization", int, "%"),
    Field(f"{DEVICE}ProcessStatus.CPU.1.SystemModeUtilization", int, "%"),
    Field(f"{DEVICE}ProcessStatus.CPU.1.X_OLEADA_Critical", bool),
    Field(f"{DEVICE}ProcessStatus.ProcessNumberOfEntries", int),
    Field(f"{DEVICE}ProcessStatus.X_OLEADA_Load", int, "hundredths"),
    Field(f"{DEVICE}TemperatureStatus.TemperatureSensor.{{i}}.Name", str),
    Field(f"{DEVICE}TemperatureStatus.TemperatureSensor.{{i}}.Value", int, "°C"),
    Field(f"{DEVICE}Reboots.BootCount", int),
    Field(f"{DEVICE}Reboots.CurrentVersionBootCount", int),
    Field(f"{DEVICE}Reboots.WatchdogBootCount", int),
    Field(f"{DEVICE}Reboots.ColdBootCount", int),
    Field(f"{DEVICE}Reboots.WarmBootCount", int),
    Field(f"{DEVICE}Reboots.Reboot.{{i}}.TimeStamp", int, "ms since 1970"),
    Field(f"{DEVICE}Reboots.Reboot.{{i}}.Cause", str),
    Field(f"{DEVICE}Reboots.Reboot.{{i}}.Reason", str),
    Field(f"{DEVICE}Reboots.Reboot.{{i}}.FirmwareUpdated", bool),
    Field(f"{DEVICE}KernelFaults.PreviousBootCount", int),
    Field(f"{DEVICE}KernelFaults.LastUpgradeCount", int),
    Field(f"{DEVICE}ProcessFaults.PreviousBootCount", int),
    Field(f"{DEVICE}ProcessFaults.LastUpgradeCount", int),
    Field("X_OLEADA_FreeBytes", int, "bytes"),
    Field("X_OLEADA_TotalBytes", int, "bytes"),
    Field("X_OLEADA_ClockBehindFloor", bool),
    Field("X_OLEADA_RefusedCommands", int),
    Field("X_OLEADA_SensesFailed", str),
    Field("X_OLEADA_SensesHung", bool),
)
NETWORK: Final = (
    Field("Device.Ethernet.Interface.1.Status", str),
    Field("Device.Ethernet.Interface.1.CurrentBitRate", int, "Mbit/s"),
    Field("Device.Ethernet.Interface.1.CurrentDuplexMode", str),
    Field("Device.Ethernet.Interface.1.Stats.BytesReceived", int, "bytes"),
    Field("Device.Ethernet.Interface.1.Stats.BytesSent", int, "bytes"),
    Field("Device.Ethernet.Interface.1.Stats.ErrorsReceived", int, "packets"),
    Field("Device.Ethernet.Interface.1.Stats.ErrorsSent", int, "packets"),
    Field("Device.WiFi.EndPoint.1.Status", str),
    Field("Device.WiFi.EndPoint.1.Stats.SignalStrength", int, "dBm"),
    Field("Device.WiFi.EndPoint.1.Stats.Retransmissions", int),
    Field("Device.WiFi.EndPoint.1.Stats.LastDataDownlinkRate", int, "kbit/s"),
    Field("Device.WiFi.EndPoint.1.Stats.LastDataUplinkRate", int, "kbit/s"),
    Field("Device.WiFi.Radio.1.Channel", int),
    Field("Device.WiFi.Radio.1.OperatingFrequencyBand", str),
    Field("Device.Services.StorageService.1.PhysicalMedium.1.Capacity", int, "MB"),
    Field("Device.Services.StorageService.1.PhysicalMedium.1.Status", str),
    Field("Device.Services.StorageService.1.PhysicalMedium.1.Health", str),
    Field("Device.Services.StorageService.1.PhysicalMedium.1.SMART.SparesRemaining", int, "%"),
)
MEDIA: Final = (
    Field(f"{STB}X_OLEADA_Ready", bool),
    Field(f"{STB}X_OLEADA_Standby", bool),
    Field(f"{STB}X_OLEADA_Version", str),
    Field(f"{STB}X_OLEADA_RestartCount", int),
    Field(f"{STB}X_OLEADA_LastErrorCode", str),
    Field(f"{STB}X_OLEADA_RemoteKeys", int),
    Field(f"{STB}X_OLEADA_RemoteBattery", int, "%"),
    Field(f"{STB}X_OLEADA_Subscribed", bool),
    Field(f"{STB}X_OLEADA_CacheBytes", int, "bytes"),
    Field(f"{STB}Components.HDMI.1.Status", str),
    Field(f"{STB}Components.HDMI.1.ResolutionMode", str),
    Field(f"{STB}Components.HDMI.1.ResolutionValue", str),
    Field(f"{STB}Components.HDMI.1.DisplayDevice.Status", str),
    Field(f"{STB}Components.HDMI.1.DisplayDevice.Name", str),
    Field(f"{STB}Components.HDMI.1.DisplayDevice.SupportedResolutions", str),
    Field(f"{STB}Components.HDMI.1.DisplayDevice.PreferredResolution", str),
    Field(f"{STB}Components.VideoOutput.1.Status", str),
    Field(f"{STB}Components.VideoOutput.1.HDCP", bool),
    Field(f"{STB}Components.AudioOutput.1.Status", str),
    Field(f"{STB}Components.AudioOutput.1.AudioFormat", str),
    Field(f"{STB}Components.AudioOutput.1.AudioLevel", int, "%"),
    Field(f"{STB}Components.SPDIF.1.ForcePCM", bool),
    Field(f"{STB}Components.SPDIF.1.Passthrough", bool),
    Field(f"{STB}Components.VideoDecoder.1.Status", str),
    Field(f"{STB}Components.AudioDecoder.1.Status", str),
    Field(f"{STB}Components.CA.1.Status", str),
    Field(f"{STB}Components.DRM.1.Status", str),
    Field(f"{STB}Components.DRM.1.Name", str),
    Field(f"{STB}Components.DRM.1.X_OLEADA_SecurityLevel", str),
    Field(f"{STB}Components.FrontEnd.1.DVBT.Modulation.SNR", int, "dB"),
    Field(f"{STB}Components.FrontEnd.1.DVBT.Modulation.BER", int, "1e-6"),
    Field(f"{STB}Components.FrontEnd.1.DVBT.Modulation.CBER", int, "1e-9"),
    Field(f"{STB}Components.FrontEnd.1.DVBT.Modulation.Locked", bool),
    Field(f"{STB}Components.FrontEnd.1.IP.IGMP.ClientGroupStats.1.MaxJoinDelay", int, "ms"),
    Field(f"{MAIN}ServiceType", str),
    Field(f"{MAIN}X_OLEADA_Playing", bool),
    Field(f"{TOTAL}DejitteringStats.Overruns", int),
    Field(f"{TOTAL}DejitteringStats.Underruns", int),
    Field(f"{TOTAL}DejitteringStats.EmptyBufferTime", int, "ms"),
    Field(f"{TOTAL}RTPStats.PacketsExpected", int, "packets"),
    Field(f"{TOTAL}RTPStats.PacketsReceived", int, "packets"),
    Field(f"{TOTAL}RTPStats.PacketsLost", int, "packets"),
    Field(f"{TOTAL}RTPStats.PacketsLostBeforeEC", int, "packets"),
    Field(f"{TOTAL}RTPStats.PacketsDiscarded", int, "packets"),
    Field(f"{TOTAL}RTPStats.PacketsOutOfSequence", int, "packets"),
    Field(f"{TOTAL}RTPStats.LossEvents", int),
    Field(f"{TOTAL}RTPStats.SevereLossIndexCount", int),
    Field(f"{TOTAL}RTPStats.SevereLossLengthCount", int),
    Field(f"{TOTAL}RTPStats.RetransmitTimeouts", int),
    Field(f"{TOTAL}TCPStats.PacketsReceived", int, "packets"),
    Field(f"{TOTAL}TCPStats.PacketsRetransmitted", int, "packets"),
    Field(f"{TOTAL}TCPStats.BytesReceived", int, "bytes"),
    Field(f"{TOTAL}MPEG2TSStats.TSPacketsReceived", int, "packets"),
    Field(f"{TOTAL}MPEG2TSStats.TSSyncByteErrorCount", int),
    Field(f"{TOTAL}MPEG2TSStats.TSSyncLossCount", int),
    Field(f"{TOTAL}MPEG2TSStats.PacketDiscontinuityCounter", int),
    Field(f"{TOTAL}MPEG2TSStats.PacketDiscontinuityCounterBeforeCA", int),
    Field(f"{TOTAL}VideoDecoderStats.FrameRate", int, "frames/s"),
    Field(f"{TOTAL}VideoDecoderStats.DecodedFrames", int, "frames"),
    Field(f"{TOTAL}VideoDecoderStats.LostFrames", int, "frames"),
    Field(f"{TOTAL}VideoDecoderStats.ConcealedFrames", int, "frames"),
    Field(f"{TOTAL}AudioDecoderStats.DecodedFrames", int, "frames"),
    Field(f"{TOTAL}AudioDecoderStats.DecodingErrors", int, "frames"),
    Field(f"{TOTAL}VideoResponseStats.MaximumVideoSystemResponse", int, "ms"),
    Field(f"{TOTAL}VideoResponseStats.MinimumVideoSystemResponse", int, "ms"),
    Field(f"{TOTAL}VideoResponseStats.RequestedTransactions", int),
    Field(f"{TOTAL}VideoResponseStats.CompletionCount", int),
    Field(f"{TOTAL}VideoResponseStats.ChannelChangeFailures", int),
    Field(f"{TOTAL}VideoResponseStats.ChannelFailures", int),
    Field(f"{TOTAL}X_OLEADA_AbrStats.Rebuffers", int),
    Field(f"{TOTAL}X_OLEADA_AbrStats.RebufferTime", int, "ms"),
    Field(f"{TOTAL}X_OLEADA_AbrStats.AverageBitrate", int, "kbit/s"),
    Field(f"{TOTAL}X_OLEADA_AbrStats.Switches", int),
    Field(f"{TOTAL}X_OLEADA_AbrStats.StartupTime", int, "ms"),
    Field(f"{STB}ServiceMonitoring.GlobalOperation.Total.ServiceAccessTime", int, "ms"),
    Field(f"{STB}ServiceMonitoring.GlobalOperation.Total.MaximumPortalResponse", int, "ms"),
)
READINGS: Final = (*SYSTEM, *NETWORK, *MEDIA)

_NUMBER: Final = re.compile(r"\.\d+(?=\.)")


def field_of(path: str) -> Field | None:
    """Return what is known of the reading at *path*; None if nothing is."""
    return _BY_NAME.get(path) or _BY_NAME.get(_NUMBER.sub(".{i}", path))


_BY_NAME: Final = {field.name: field for field in READINGS}
