"""Actions: what people let one box do from afar, and what it answered."""
