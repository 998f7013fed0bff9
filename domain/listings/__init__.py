"""What is for sale: its price, its stock, and who may see it."""
