"""Marking a replica Processing writes two things, and may be cut off after each."""

import pytest

from lab.injected_faults import FaultKind, FaultRule
from partial_failover.connectors.cloud_director.metadata_store import MARKER
from partial_failover.contracts.errors import FailoverError
from partial_failover.contracts.step import StepName
from tests.activities.world import World


@pytest.mark.parametrize("written", [0, 1])
async def test_a_replica_without_a_marker_is_as_it_was(world: World, written: int) -> None:
    """Nobody looks for more at one that has none."""
    own, before = await world.values("acme", "mail-01"), world.centre.state()
    world.centre.faults.add(
        FaultRule("cloud-director", "POST metadata", FaultKind.REFUSE, times=99, passes=written)
    )
    with pytest.raises(FailoverError):
        await world.call(StepName.MARK_PROCESSING, own)
    world.centre.faults.clear()
    metadata = world.centre.cloud.vm("mail-01_replica").metadata
    assert ("SYSTEM", MARKER.key) in metadata or world.centre.state() == before
    await world.call(StepName.MARK_NORMAL, own)
    assert world.centre.state() == before
