"""What comes back, in the order in which it was asked for."""
