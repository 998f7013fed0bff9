"""Files that people upload, from the address that takes them to the listings that show them."""
