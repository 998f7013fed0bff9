"""What admins show together: products by hand, in an order."""
