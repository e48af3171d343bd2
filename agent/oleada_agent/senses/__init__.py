"""What a box feels: one module for each source, and one that asks them all, bounded."""
