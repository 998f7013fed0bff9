"""What is said of listings."""
