"""Filling a cart."""
