"""Damaged input, millions of times: what a box trusts, against what python-tuf trusts."""
