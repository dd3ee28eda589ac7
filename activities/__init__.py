"""One documented step each: idempotent, fenced, verified. Connectors know how a system is spoken to."""
