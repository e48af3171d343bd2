"""A fleet in virtual time: the real planner and the real machine, simulated boxes and days."""
