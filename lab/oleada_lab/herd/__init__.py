"""Ten thousand boxes that come back after a blackout, and the broker that lets them in."""
