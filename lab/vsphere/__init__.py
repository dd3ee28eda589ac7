"""A vCenter's SOAP endpoint in front of a lab hypervisor."""

from lab.vsphere.endpoint import VSphereEndpoint
from lab.vsphere.sessions import User

__all__ = ["User", "VSphereEndpoint"]
