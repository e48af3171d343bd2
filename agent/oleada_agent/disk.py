"""The real disk of the agent: the boot program's, which both must agree about."""

from oleada_agent.boot.disk import RealDisk

__all__ = ["RealDisk"]
