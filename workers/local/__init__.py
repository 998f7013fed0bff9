"""The whole system on one machine, without Docker: servers from wheels, doubles for what costs money, our processes."""
