"""Files that people upload: pictures, from the address that takes them to the sizes that shoppers see."""
