"""Firmware images: small ones for tests, real ones from Debian packages."""
