"""Real boxes with faults that are planted in what surrounds them, and the desk that looks."""
