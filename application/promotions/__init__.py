"""Keeping promotions, and what carts and orders need of them."""
