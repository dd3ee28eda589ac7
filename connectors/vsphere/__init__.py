"""vSphere through pyvmomi: read replicas, revert them to a restore point, switch VMs on and off."""

from connectors.vsphere.client import VSphere
from connectors.vsphere.session import speaks

__all__ = ["VSphere", "speaks"]
