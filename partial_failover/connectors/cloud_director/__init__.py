"""Cloud Director through pyvcloud.

The rest of the product sees `CloudDirector`, the `OrganizationVdc` that it hands out, and the entries that
`metadata_store` declares.
"""

from partial_failover.connectors.cloud_director.client import CloudDirector
from partial_failover.connectors.cloud_director.organization_vdc import OrganizationVdc

__all__ = ["CloudDirector", "OrganizationVdc"]
