"""Faults of homes with their labels, to measure how well the playbooks tell them apart."""
