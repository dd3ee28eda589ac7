"""What happens, in which order. Deterministic: no client library, no clock, no network."""
