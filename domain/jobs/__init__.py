"""What is done because time has passed, as far as people ask for it."""
