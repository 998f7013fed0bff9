"""What takes something off the price of an order: for everybody by itself, or for whoever has a code."""
