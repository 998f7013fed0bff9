"""Signing up, signing in, and what an account may do."""
