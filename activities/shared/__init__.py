"""What every step has: its attempt, its fence, its probes."""
