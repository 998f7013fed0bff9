"""Carts, with the prices of the moment."""
