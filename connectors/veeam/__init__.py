"""Veeam Backup & Replication's REST API: replication of an original VM is put on hold and released."""

from connectors.veeam.veeam import Veeam

__all__ = ["Veeam"]
