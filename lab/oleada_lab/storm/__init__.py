"""Storms: everybody at once, one box without end, everything twice and out of order."""
