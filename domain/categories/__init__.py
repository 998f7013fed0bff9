"""The tree that listings hang in."""
