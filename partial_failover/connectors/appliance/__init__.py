"""Network extension appliances over SSH. `Appliance` is one of them."""

from partial_failover.connectors.appliance.client import VPN_PORT, Appliance
from partial_failover.connectors.appliance.keys import host_key_of, public_key

__all__ = ["VPN_PORT", "Appliance", "host_key_of", "public_key"]
