"""The evidence for and against a release: whole numbers that are judged in pure code."""
