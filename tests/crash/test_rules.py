"""The checker of the crash matrix can fail: each rule is broken once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from appliance.model import Lease, Vpn
from appliance.state import State
from lab.cloud_director.model import MetadataValue
from lab.crash_matrix.cases import Change
from lab.crash_matrix.rules import TENANT, VM, Rules
from lab.data_centre import SUFFIX, DataCentre
from lab.fabric import provision
from lab.hypervisor import Snapshot
from lab.site import APPLIANCE
from partial_failover.connectors.cloud_director.metadata_store import MAINTENANCE, MARKER
from partial_failover.contracts.remembered import MaintenanceRecord
from partial_failover.contracts.replica import Marker, ReplicaState
from tests.waiting import blocking_until

REPLICA = VM + SUFFIX
LEASE = "902ab23f-d6e8-4aba-8be9-46f1a9b3a998"
WRITE = "the replica is on, and its write in Failover is still there"
HELD = "replication held while the replica is on or written to"


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataCentre]:
    """No workers, no Temporal server: these tests play the product's part."""
    centre = DataCentre(tmp_path_factory.mktemp("rules"), simulated=True)
    centre.start()
    yield centre
    centre.close()


@pytest.fixture
def rules(centre: DataCentre) -> Iterator[Rules]:
    """For a replica that is Normal, before and after."""
    rules = Rules(centre)
    yield rules
    rules.give_up()
    rules.close()
    replica = rules.replica
    if replica.power == "poweredOn":
        centre.provider.power_off(replica)
    if replica.current is not rules.points[-1] or replica.disk.data:
        centre.provider.revert(replica, rules.points[-1])
    centre.cloud.vm(REPLICA).metadata.clear()
    release(rules)
    assert centre.state() == rules.normal


def hold(rules: Rules) -> None:
    rules.site.backup.replication.exclude("vc", VM, rules.original.moref)


def release(rules: Rules) -> None:
    rules.site.backup.replication.exclusions.clear()


def mark(rules: Rules, state: ReplicaState, written: bool) -> None:
    at = datetime.now(UTC)
    marker = Marker(state=state, workflow_id="w", run_id="r", since=at, written=written)
    text = marker.model_dump_json()
    rules.centre.cloud.vm(REPLICA).metadata["SYSTEM", MARKER.key] = MetadataValue(text, "PRIVATE")


def fail_over(rules: Rules, point: Snapshot) -> None:
    """As a failover without appliances does; the replica writes."""
    hold(rules)
    rules.centre.provider.revert(rules.replica, point)
    rules.centre.provider.power_on(rules.replica)
    mark(rules, ReplicaState.FAILOVER, written=True)
    blocking_until(lambda: rules.replica.disk.read("order") is not None)


def test_a_failover_in_good_order_breaks_none_of_them_before_its_undo(rules: Rules) -> None:
    fail_over(rules, rules.points[-1])
    rules.give_up()
    mark(rules, ReplicaState.PROCESSING, written=False)
    rules.centre.provider.power_off(rules.replica)
    rules.centre.provider.revert(rules.replica, rules.points[-1])
    rules.centre.cloud.vm(REPLICA).metadata.clear()
    release(rules)
    rules.must_be_normal()
    assert rules.broken == []


def test_a_write_that_is_lost_for_a_moment_is_seen(rules: Rules) -> None:
    fail_over(rules, rules.points[-1])
    written = dict(rules.replica.disk.data)
    rules.replica.disk.data.clear()
    blocking_until(lambda: rules.broken != [])
    rules.replica.disk.data.update(written)
    assert rules.broken == [WRITE]


def test_a_revert_before_the_marker_says_undo_is_seen(rules: Rules) -> None:
    fail_over(rules, rules.points[-1])
    rules.give_up()
    rules.centre.provider.revert(rules.replica, rules.points[-1])
    blocking_until(lambda: rules.broken != [])
    assert rules.broken == [WRITE]


def test_whoever_takes_over_keeps_what_was_written(rules: Rules) -> None:
    fail_over(rules, rules.points[-1])
    rules.take_over()
    mark(rules, ReplicaState.PROCESSING, written=True)
    rules.centre.provider.revert(rules.replica, rules.points[-1])
    blocking_until(lambda: rules.broken != [])
    assert rules.broken == [WRITE]


def test_another_restore_point_than_the_chosen_one_is_seen(rules: Rules) -> None:
    rules.begin(rules.points[1])
    fail_over(rules, rules.points[-1])
    rules.must_be_in_failover()
    newest, chosen = rules.points[-1].moref, rules.points[1].moref
    assert f"it stands on {chosen}; it stands on {newest}" in rules.broken
    assert f"it reads what {chosen} holds; it reads 4000" in rules.broken


def test_an_undo_to_the_chosen_point_is_seen(rules: Rules) -> None:
    rules.begin(rules.points[1])
    fail_over(rules, rules.points[1])
    rules.give_up()
    mark(rules, ReplicaState.PROCESSING, written=False)
    rules.centre.provider.power_off(rules.replica)
    rules.centre.provider.revert(rules.replica, rules.points[1])
    rules.must_be_normal()
    assert any(what.startswith("stands on as before") for what in rules.broken)


def test_replication_that_goes_on_is_seen(rules: Rules) -> None:
    fail_over(rules, rules.points[-1])
    release(rules)
    blocking_until(lambda: rules.broken != [])
    hold(rules)
    assert rules.broken == [HELD]


@pytest.mark.parametrize(
    ("owners", "fits"), [(["another"], True), (["another", "its own"], False), ([], False)]
)
def test_maintenance_mode_in_failover_is_for_others_alone(
    rules: Rules, owners: list[str], fits: bool
) -> None:
    cloud = rules.centre.cloud
    vapp = cloud.vapp(f"{TENANT}-replicas")
    own = [cloud.vm(REPLICA).id if owner == "its own" else owner for owner in owners]
    fail_over(rules, rules.points[-1])
    if own:
        text = MaintenanceRecord(owners=tuple(own)).model_dump_json()
        vapp.metadata["SYSTEM", MAINTENANCE.key] = MetadataValue(text, "PRIVATE")
    vapp.maintenance = True
    rules.must_be_in_failover()
    vapp.maintenance = False
    vapp.metadata.pop(("SYSTEM", MAINTENANCE.key), None)
    assert any("maintenance" in broken for broken in rules.broken) is not fits


def test_a_lease_a_tunnel_and_maintenance_that_are_left_over_are_seen(rules: Rules, tmp_path: Path) -> None:
    centre = rules.centre
    disk = centre.fabric.disks[rules.site.host(APPLIANCE)]
    state = State(provision.state(disk), tmp_path)
    vapp = centre.cloud.vapp(f"{TENANT}-replicas")
    state.put_lease(Lease(LEASE, f"{TENANT}-lan-a", IPv4Address("192.168.10.50")))
    rules.must_be_normal()
    state.drop_lease(LEASE)
    state.set_vpn(Vpn("AA:BB", 6180, "203.0.113.1", wanted=True))
    rules.must_be_normal()
    state.set_vpn(Vpn("AA:BB", 6180, "203.0.113.1", wanted=False))
    vapp.maintenance = True
    rules.must_be_normal()
    vapp.maintenance = False
    lease, tunnel, maintenance = rules.broken
    assert lease.startswith("appliances as before") and LEASE in lease
    assert tunnel.startswith("appliances as before") and LEASE not in tunnel and "tunnel=True" in tunnel
    assert maintenance.startswith("vapps as before")
    rules.must_be_normal()
    assert len(rules.broken) == 3


def test_a_hold_that_somebody_ends_is_excused_until_it_is_taken_again(rules: Rules) -> None:
    fail_over(rules, rules.points[-1])
    rules.disturb(Change.EXCLUSION_DELETED)
    release(rules)
    rules.must_be_in_failover_or_say("")
    assert rules.broken == ["replication held in Failover"], "whoever rests in Failover has it again"
    hold(rules)
    rules.must_be_in_failover_or_say("")
    release(rules)
    blocking_until(lambda: HELD in rules.broken)


@pytest.mark.parametrize(
    ("change", "broken"),
    [(Change.SWITCHED, "the page says that the replica is poweredOff"), (Change.REVERTED, "the page names")],
)
def test_a_page_that_is_silent_about_somebodys_change_is_seen(
    rules: Rules, change: Change, broken: str
) -> None:
    fail_over(rules, rules.points[-1])
    rules.disturb(change)
    if change is Change.SWITCHED:
        rules.centre.provider.power_off(rules.replica)
    else:
        rules.centre.provider.revert(rules.replica, rules.points[0])
        rules.centre.provider.power_on(rules.replica)
    rules.must_be_in_failover_or_say(f"it is powered off and stands on {rules.points[0].name}")
    assert rules.broken == []
    rules.must_be_in_failover_or_say("all is well")
    assert len(rules.broken) == 1 and broken in rules.broken[0]


def test_normal_that_is_said_of_a_replica_that_was_used_is_seen(rules: Rules) -> None:
    hold(rules)
    rules.disturb(Change.SWITCHED)
    rules.centre.provider.power_on(rules.replica)
    rules.replica.write("by somebody", "used")
    rules.centre.provider.power_off(rules.replica)
    rules.must_be_clean()
    assert rules.broken == ["off and on its newest restore point when Normal"]


def test_failed_failover_that_says_nothing_is_seen(rules: Rules) -> None:
    rules.disturb(Change.SWITCHED)
    rules.must_say_what_is_left("Something. Left over: Mark it Normal: somebody powered it on")
    assert rules.broken == []
    rules.must_say_what_is_left("Something. Left over: ")
    assert len(rules.broken) == 1
