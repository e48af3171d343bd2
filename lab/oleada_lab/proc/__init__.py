"""Plays the scenarios of virtual time with real processes: a server, boxes, and real faults."""
