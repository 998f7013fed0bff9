"""Taking the money for an order."""
