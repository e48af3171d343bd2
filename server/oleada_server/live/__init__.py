"""Live: the change table, and what has changed since."""
