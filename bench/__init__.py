"""What the README's figures are made with: one module per table, each run alone or all by `make bench`."""
