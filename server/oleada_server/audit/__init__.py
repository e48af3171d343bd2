"""The audit trail: every write, who, why, before and after; hash-chained."""
