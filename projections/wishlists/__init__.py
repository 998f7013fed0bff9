"""What people wish for, at the prices of now."""
