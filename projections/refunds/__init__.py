"""Money that is to go back, and what has become of it."""
