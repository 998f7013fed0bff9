"""Mail to the people who have accounts here: which, to whom, and what it says."""
