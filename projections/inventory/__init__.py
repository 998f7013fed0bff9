"""How many units there are of everything that is on sale."""
