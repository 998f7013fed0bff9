"""The catalogue, as shoppers see it."""
