"""Devices: what the server knows of each box."""
