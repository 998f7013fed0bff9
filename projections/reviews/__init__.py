"""What is said of products, as everybody reads it."""
