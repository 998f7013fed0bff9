"""Putting collections together."""
