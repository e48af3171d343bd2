"""The lab's small house, for the tests of one real agent."""

from oleada_lab.real.desk import HOUR_MS, Desk
from oleada_lab.real.house import DEVICE, Authority, House

__all__ = ["DEVICE", "HOUR_MS", "Authority", "Desk", "House"]
