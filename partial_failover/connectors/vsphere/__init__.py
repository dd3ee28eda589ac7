"""vSphere through pyvmomi: read replicas, revert them to a restore point, switch VMs on and off."""

from partial_failover.connectors.vsphere.client import VSphere
from partial_failover.connectors.vsphere.stub import VCenterLogin, speaks

__all__ = ["VCenterLogin", "VSphere", "speaks"]
