"""What the shop tells its admins of each day."""
