"""Veeam Backup & Replication's REST API: replication of an original VM is put on hold and released."""

from partial_failover.connectors.veeam.client import Veeam

__all__ = ["Veeam"]
