"""Building the category tree."""
