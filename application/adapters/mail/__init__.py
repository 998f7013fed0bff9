"""Where mail waits, and the ways by which it leaves."""
