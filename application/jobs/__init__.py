"""Jobs: what the scheduler does, what became of it, and asking for it out of turn."""
