"""What must hold whatever happens: invariants over the facts of a run, as pure code."""
