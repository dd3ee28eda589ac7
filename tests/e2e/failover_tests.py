"""What the tests of failover tests share: the VM that is tested, its report, and how it is put back."""

import asyncio

from lab.lab import Lab
from partial_failover.connectors.cloud_director.metadata_store import TESTS
from partial_failover.contracts.failover_test import FailoverTestReport, VmTestReport
from partial_failover.contracts.replica import ReplicaState
from tests.e2e.driver import Handle
from tests.waiting import PATIENCE

VM, REPLICA, NETWORK = "tps-01", "tps-01_replica", "initech-lan"
"""Of a tenant without appliances, whose replicas are on production's own broadcast domain: what is not
isolated there is heard at once."""
RECORDS = ("SYSTEM", TESTS.key)


async def report_of(handle: Handle, within: float = PATIENCE) -> FailoverTestReport:
    """The report of a `FailoverTest`."""
    return FailoverTestReport.model_validate(await asyncio.wait_for(handle.result(), within))


def assert_put_back(lab: Lab, report: VmTestReport) -> None:
    """Normal, and nothing left; the fixture `as_found` compares the rest of the world."""
    assert report.state is ReplicaState.NORMAL and not report.left_over
    assert report.replica is not None
    cloud = lab.centre.cloud.vm(report.replica)
    assert all(nic.network is not None and nic.connected for nic in cloud.nics)
    assert set(cloud.metadata) == {RECORDS}
    assert not any(site.backup.exclusions for site in lab.centre.sites.values())
