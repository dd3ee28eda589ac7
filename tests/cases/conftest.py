"""The lab of the end-to-end tests, and a worker that an intruder runs in a tenant's namespace."""

from tests.e2e.conftest import acme, as_found, globex, initech, lab

__all__ = ["acme", "as_found", "globex", "initech", "lab"]
