"""Following sellers."""
