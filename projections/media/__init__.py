"""What people have uploaded, and what has become of it."""
