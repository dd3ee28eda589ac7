"""Bodies that are sent to the lab's Cloud Director."""

from tests.lab.cloud_director.site import HEAD


def nic_section(*connections: str, primary: int = 0) -> str:
    return (
        f"<NetworkConnectionSection {HEAD}><ovf:Info>x</ovf:Info>"
        f"<PrimaryNetworkConnectionIndex>{primary}</PrimaryNetworkConnectionIndex>"
        f"{''.join(connections)}</NetworkConnectionSection>"
    )


def connection(index: int = 0, network: str = "lan", mode: str = "POOL", extra: str = "") -> str:
    return (
        f'<NetworkConnection network="{network}"><NetworkConnectionIndex>{index}</NetworkConnectionIndex>'
        f"<IsConnected>true</IsConnected><IpAddressAllocationMode>{mode}</IpAddressAllocationMode>{extra}"
        f"</NetworkConnection>"
    )


def metadata(domain: str, visibility: str, key: str = "k") -> str:
    return (
        f'<Metadata {HEAD} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><MetadataEntry>'
        f'<Domain visibility="{visibility}">{domain}</Domain><Key>{key}</Key>'
        f'<TypedValue xsi:type="MetadataStringValue"><Value>v</Value></TypedValue></MetadataEntry></Metadata>'
    )
