"""One documented step each: idempotent, fenced, verified. Thin: the work is the connectors'."""
