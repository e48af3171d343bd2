"""The sweep with real processes: boot program and agent as they ship, over disks that fail."""
