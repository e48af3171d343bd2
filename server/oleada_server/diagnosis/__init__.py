"""Diagnosis: from what a box and its server know to the likely causes, as data and pure code."""
