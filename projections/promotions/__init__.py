"""Promotions, as shoppers and admins see them."""
