"""Whom people follow."""
