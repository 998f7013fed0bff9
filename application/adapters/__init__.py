"""The ports of the write side, on Postgres, Stripe, argon2 and the rest."""
