"""A backup server of the lab: Veeam Backup & Replication's REST API over the lab's VMs."""

from lab.veeam.accounts import Role
from lab.veeam.endpoint import VeeamEndpoint
from lab.veeam.replication import Cycle, Exclusion, Job

__all__ = ["Cycle", "Exclusion", "Job", "Role", "VeeamEndpoint"]
