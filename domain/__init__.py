"""What the business says: pure, no I/O, no clock, no framework."""
