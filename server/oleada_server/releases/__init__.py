"""Releases: signed bundles in, TUF metadata and blobs out."""
