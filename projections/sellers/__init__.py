"""The shops, as shoppers, their owners and admins see them."""
