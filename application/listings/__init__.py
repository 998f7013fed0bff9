"""Creating listings and changing them."""
