"""Each step on an appliance says whether it had anything to do, so that the timeline is honest."""

import pytest

from partial_failover.contracts.queues import PROVIDER, TENANT_SITE
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import StepResult
from tests.activities.world import Values, World

SIDES = {
    PROVIDER: (
        StepName.START_VPN_SERVER,
        StepName.CONFIGURE_PROVIDER_PROXY_ARP,
        StepName.REMOVE_PROVIDER_PROXY_ARP,
    ),
    TENANT_SITE: (
        StepName.START_VPN_CLIENT,
        StepName.CONFIGURE_TENANT_PROXY_ARP,
        StepName.REMOVE_TENANT_PROXY_ARP,
    ),
}


async def changed(world: World, side: str, step: StepName, values: Values) -> bool:
    """Whether it says that it changed anything."""
    result = await world.call(f"{side}/{step}", values)
    assert isinstance(result, StepResult)
    return result.changed


@pytest.mark.parametrize("side", SIDES)
async def test_a_second_time_there_is_nothing_to_do(world: World, extended: Values, side: str) -> None:
    for step in SIDES[side]:
        assert await changed(world, side, step, extended) is True
        assert await changed(world, side, step, extended) is False


@pytest.mark.parametrize("side", SIDES)
async def test_without_a_lease_the_end_of_a_failover_still_stops_its_tunnel(
    world: World, extended: Values, side: str
) -> None:
    start, _, remove = SIDES[side]
    assert await changed(world, side, start, extended) is True
    assert await changed(world, side, remove, extended) is True
    assert await changed(world, side, remove, extended) is False
