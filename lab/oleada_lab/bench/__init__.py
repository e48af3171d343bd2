"""Measurements of the real programs; ``oleada-lab bench`` runs them and keeps the numbers."""
