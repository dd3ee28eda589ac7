"""Preflight foretells what the appliance's program takes: both have the same rules, without shared code."""

from ipaddress import IPv4Address, IPv4Interface

from hypothesis import example, given
from hypothesis import strategies as st

from appliance import model
from appliance.errors import Refusal
from partial_failover.contracts.appliance import Lease
from partial_failover.contracts.network import Network, at_a_spare, misfits

NAMES = ("one", "two")
ID = "5b0f3a5e-0000-4000-8000-000000000001"
addresses = st.builds(
    lambda third, last: IPv4Address(f"10.0.{third}.{last}"),
    st.integers(0, 3),
    st.sampled_from([0, 1, 2, 3, 127, 128, 254, 255]),
)
odd = st.sampled_from([IPv4Address("127.0.0.1"), IPv4Address("239.1.1.1"), IPv4Address("0.0.0.0")])
routers = st.builds(
    lambda address, prefix: IPv4Interface(f"{address}/{prefix}"),
    st.one_of(addresses, odd),
    st.sampled_from([0, 7, 8, 22, 24, 25, 30, 31, 32]),
)


def network(name: str, router: IPv4Interface) -> Network:
    """As Cloud Director has it: the subnet follows from the router."""
    return Network(id=f"urn:vcloud:network:{name}", name=name, subnet=router.network, gateway=router.ip)


def declared(networks: list[Network], spares: dict[str, IPv4Address]) -> tuple[model.Network, ...] | None:
    """What the program makes of them, None when it refuses."""
    entries = [
        {
            "name": n.name,
            "mac": f"00:50:56:00:00:0{number}",
            "subnet": str(n.subnet),
            "gateway": str(n.gateway),
            "spare": str(spares[n.name]),
        }
        for number, n in enumerate(networks)
        if n.name in spares
    ]
    try:
        return model.networks(entries, ())
    except Refusal:
        return None


@given(st.tuples(routers, routers), st.dictionaries(st.sampled_from(NAMES), addresses))
@example((IPv4Interface("10.0.1.1/24"), IPv4Interface("10.0.2.1/24")), {"one": IPv4Address("10.0.1.2")})
def test_what_fits_is_what_the_program_takes(
    both: tuple[IPv4Interface, IPv4Interface], spares: dict[str, IPv4Address]
) -> None:
    networks = [network(name, router) for name, router in zip(NAMES, both, strict=True)]
    assert (declared(networks, spares) is not None) == (misfits(networks, spares) == [])


@given(routers, addresses, addresses)
def test_an_address_that_is_let_through_is_one_that_the_program_leases(
    router: IPv4Interface, spare: IPv4Address, address: IPv4Address
) -> None:
    one = network("one", router)
    made = declared([one], {"one": spare})
    if made is None:
        return
    clash = at_a_spare(
        [Lease(id="5b0f3a5e-0000-4000-8000-000000000001", network="one", address=address)], {"one": spare}
    )
    fits = one.has_host(address) and address != one.gateway and not clash
    assert made[0].holds(address) == fits
