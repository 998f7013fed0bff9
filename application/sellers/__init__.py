"""Becoming a seller, being judged as one, and keeping a shop."""
