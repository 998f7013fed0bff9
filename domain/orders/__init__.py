"""What somebody bought."""
