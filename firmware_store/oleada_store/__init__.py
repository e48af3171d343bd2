"""Releases by digest, the TUF repository, signing tools and blob drivers; server side only."""
