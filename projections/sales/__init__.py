"""What was sold and what went back, by days: the figures of reports, and nobody's name."""
