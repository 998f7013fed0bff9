"""The money for an order, as the provider tells it."""
