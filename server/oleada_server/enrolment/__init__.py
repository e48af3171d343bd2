"""Enrolment: claim tokens in, certificates of the device CA out."""
