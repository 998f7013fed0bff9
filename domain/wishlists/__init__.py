"""What people would like to have."""
