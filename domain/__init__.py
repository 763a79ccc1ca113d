"""What may happen and what it means: aggregates, events and rules. Pure: no I/O, no clock, no randomness."""
