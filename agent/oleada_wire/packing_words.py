"""Dictionary 1 of ``packing``: what messages about a box's health have in common.

It never changes, for boxes in homes have it: another one would be a number more. A reading
that is missing here only packs less well. What is said most often stands last.
"""

from typing import Final

_REST: Final = (
    ("Device.DeviceInfo.KernelFaults.", "LastUpgradeCount=0 PreviousBootCount=0"),
    ("Device.DeviceInfo.ProcessFaults.", "LastUpgradeCount=0 PreviousBootCount=0"),
    ("Device.DeviceInfo.MemoryStatus.", "TotalPersistent=0 Total=0"),
    ("Device.DeviceInfo.Reboots.", "BootCount=1 ColdBootCount=1 CurrentVersionBootCount=1"),
    ("Device.DeviceInfo.Reboots.Reboot.1.",
     'Cause="LocalReboot" Cause="RemoteReboot" FirmwareUpdated=false FirmwareUpdated=true '
     'Reason="power-on" Reason="reboot" Reason="update" Reason="watchdog" TimeStamp=1795'),
    ("Device.DeviceInfo.Reboots.Reboot.2.",
     'Cause="LocalReboot" FirmwareUpdated=false Reason="power-on" TimeStamp=1795'),
    ("Device.DeviceInfo.Reboots.", "WarmBootCount=0 WatchdogBootCount=0"),
    ("Device.DeviceInfo.TemperatureStatus.TemperatureSensor.1.", 'Name="cpu-thermal"'),
    ("Device.DeviceInfo.TemperatureStatus.TemperatureSensor.2.", 'Name="gpu-thermal"'),
    ("Device.Ethernet.Interface.1.",
     'CurrentBitRate=100 CurrentBitRate=1000 CurrentDuplexMode="Full" Status="Up" '
     'Status="Down"'),
    ("Device.Services.StorageService.1.PhysicalMedium.1.",
     'Capacity=7818 Health="OK" SMART.SparesRemaining=100 Status="Online"'),
    ("Device.Services.STBService.1.Components.",
     'AudioDecoder.1.Status="Enabled" AudioOutput.1.AudioFormat="PCM" '
     'AudioOutput.1.AudioLevel=70 AudioOutput.1.Status="Enabled" CA.1.Status="Enabled" '
     'DRM.1.Name="Widevine" DRM.1.Status="Enabled" DRM.1.X_OLEADA_SecurityLevel="L1" '
     "FrontEnd.1.DVBT.Modulation.BER=0 FrontEnd.1.DVBT.Modulation.Locked=true "
     "FrontEnd.1.DVBT.Modulation.SNR=30 "
     "FrontEnd.1.IP.IGMP.ClientGroupStats.1.MaxJoinDelay=50 "
     'HDMI.1.DisplayDevice.Name="TV" '
     'HDMI.1.DisplayDevice.PreferredResolution="1080p/50Hz" '
     'HDMI.1.DisplayDevice.Status="Present" '
     'HDMI.1.DisplayDevice.SupportedResolutions="1080p/50Hz,720p/50Hz,576p/50Hz" '
     'HDMI.1.ResolutionMode="Auto" HDMI.1.ResolutionValue="1080p/50Hz" '
     'HDMI.1.Status="Enabled" SPDIF.1.ForcePCM=false SPDIF.1.Passthrough=false '
     'VideoDecoder.1.Status="Enabled" VideoOutput.1.HDCP=true VideoOutput.1.Status="Enabled"'),
    ("Device.Services.STBService.1.ServiceMonitoring.GlobalOperation.Total.",
     "MaximumPortalResponse=700 ServiceAccessTime=9000"),
    ("Device.Services.STBService.1.ServiceMonitoring.MainStream.1.", 'ServiceType="IPTV"'),
    ("Device.Services.STBService.1.",
     'X_OLEADA_LastErrorCode="" X_OLEADA_Ready=true X_OLEADA_RestartCount=0 '
     'X_OLEADA_Subscribed=true X_OLEADA_Version="1.4.0"'),
    ("Device.WiFi.EndPoint.1.", 'Status="Enabled" Status="Disabled"'),
    ("Device.WiFi.Radio.1.",
     'Channel=36 OperatingFrequencyBand="5GHz" OperatingFrequencyBand="2.4GHz"'),
    ("X_OLEADA_", "ClockBehindFloor=true SensesHung=true TotalBytes=1"),
)  # fmt: skip
"""What seldom changes: prefix, and names with a value that is often theirs."""
_CHANGING: Final = (
    ("Device.DeviceInfo.MemoryStatus.",
     "Free=1 FreePersistent=1 MemoryMonitor.MemUtilization=40"),
    ("Device.DeviceInfo.ProcessStatus.",
     "CPU.1.SystemModeUtilization=1 CPU.1.UserModeUtilization=1 CPUUsage=1 "
     "ProcessNumberOfEntries=100 X_OLEADA_Load=10"),
    ("Device.DeviceInfo.TemperatureStatus.TemperatureSensor.", "1.Value=50 2.Value=50"),
    ("Device.DeviceInfo.", "UpTime=86"),
    ("Device.Ethernet.Interface.1.Stats.",
     "BytesReceived=1 BytesSent=1 ErrorsReceived=0 ErrorsSent=0"),
    ("Device.Services.STBService.1.ServiceMonitoring.MainStream.1.Total.",
     "AudioDecoderStats.DecodedFrames=1 AudioDecoderStats.DecodingErrors=0 "
     "DejitteringStats.EmptyBufferTime=0 DejitteringStats.Overruns=0 "
     "DejitteringStats.Underruns=0 MPEG2TSStats.PacketDiscontinuityCounter=0 "
     "MPEG2TSStats.PacketDiscontinuityCounterBeforeCA=0 MPEG2TSStats.TSPacketsReceived=1 "
     "RTPStats.LossEvents=0 RTPStats.PacketsExpected=1 RTPStats.PacketsLost=0 "
     "RTPStats.PacketsLostBeforeEC=0 RTPStats.PacketsReceived=1 "
     "TCPStats.PacketsReceived=1 TCPStats.PacketsRetransmitted=0 "
     "VideoDecoderStats.ConcealedFrames=0 VideoDecoderStats.DecodedFrames=1 "
     "VideoDecoderStats.FrameRate=50 VideoDecoderStats.LostFrames=0 "
     "VideoResponseStats.ChannelChangeFailures=0 VideoResponseStats.ChannelFailures=0 "
     "VideoResponseStats.MaximumVideoSystemResponse=900 X_OLEADA_AbrStats.AverageBitrate=1 "
     "X_OLEADA_AbrStats.RebufferTime=0 X_OLEADA_AbrStats.Rebuffers=0"),
    ("Device.Services.STBService.1.ServiceMonitoring.MainStream.1.",
     "X_OLEADA_Playing=true X_OLEADA_Playing=false"),
    ("Device.Services.STBService.1.",
     "X_OLEADA_CacheBytes=20 X_OLEADA_RemoteBattery=80 X_OLEADA_RemoteKeys=40 "
     "X_OLEADA_Standby=false X_OLEADA_Standby=true"),
    ("Device.WiFi.EndPoint.1.Stats.",
     "LastDataDownlinkRate=1 LastDataUplinkRate=1 Retransmissions=0 SignalStrength=-60"),
    ("X_OLEADA_", "FreeBytes=1"),
)  # fmt: skip
_FRAME: Final = (
    '"running_slot":"B","slots":[{"sha256":"","slot":"A","status":"Active","version":"1.0"},'
    '{"slot":"B","status":"NoImage"},{"slot":"B","status":"Available"}],"version":"1.0"}'
    '{"at_ms":1795,"audit_head":"","boot":"00000001-","dropped":0,"id":"",'
    '"looks":[{"at_ms":1795,"changed":{"Device.DeviceInfo.UpTime":1},"gone":[],"seq":1},'
    '{"at_ms":1795,"changed":{"Device.DeviceInfo.MemoryStatus.Free":1,'
)


def _spelt(groups: tuple[tuple[str, str], ...]) -> str:
    """Return each name with its value as it stands in JSON."""
    return "".join(
        f'"{prefix}{name}":{value},'
        for prefix, names in groups
        for name, _, value in (one.partition("=") for one in names.split())
    )


WORDS_1: Final = (_spelt(_REST) + _FRAME + _spelt(_CHANGING)).encode()
