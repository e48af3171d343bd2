"""Messaging: the inbox from and the outbox to the broker."""
