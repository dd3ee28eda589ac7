"""Cloud Director through pyvcloud. `CloudDirector` is all that the rest of the product sees."""

from partial_failover.connectors.cloud_director.client import CloudDirector

__all__ = ["CloudDirector"]
