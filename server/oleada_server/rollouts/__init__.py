"""Rollouts: waves of one release, decided by one pure plan."""
