"""Values that only one may hold: e-mail addresses, usernames, slugs."""
