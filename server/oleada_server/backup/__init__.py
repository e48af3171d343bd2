"""Backup and restore: everything that was acknowledged, in one file, on either database."""
