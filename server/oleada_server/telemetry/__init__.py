"""Telemetry: health, logs and crashes that boxes send."""
