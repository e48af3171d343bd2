"""Outages of what Oleada stands on, played with real processes: it bends, says so, recovers."""
