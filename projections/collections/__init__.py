"""The collections."""
