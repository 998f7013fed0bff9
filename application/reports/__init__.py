"""Reports for admins, and how they are written as files."""
