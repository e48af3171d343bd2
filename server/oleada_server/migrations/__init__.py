"""Alembic revisions, inside the package so that the wheel has them."""
