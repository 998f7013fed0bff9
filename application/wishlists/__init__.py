"""Wishing for products."""
