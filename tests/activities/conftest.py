"""The world of the authority tests serves others too."""

from tests.activities.test_authority import world

__all__ = ["world"]
