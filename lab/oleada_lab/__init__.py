"""The lab: simulated boxes in virtual time, real boxes as processes, stories with an ending."""
