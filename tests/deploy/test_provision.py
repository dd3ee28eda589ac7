"""The provisioning command: what it makes of a Temporal server, looked at in the server."""

from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.service import RPCError, RPCStatusCode

from lab.lab import Lab
from partial_failover.temporal.search_attributes import REGISTRY
from tests.deploy.commands import Ran, command, configured, run, written


async def provision(lab: Lab, config: Path, *options: str) -> Ran:
    return await command(lab, "operate", "provision", config, *options)


def with_namespace(lab: Lab, folder: Path, namespace: str, **settings: object) -> Path:
    data = configured(lab, "provider")
    data["tenants"] = [{**data["tenants"][0], "namespace": namespace}]
    return written(folder, data | settings)


async def test_a_namespace_is_made_once_and_updated_after_that(lab: Lab, tmp_path: Path) -> None:
    config = with_namespace(lab, tmp_path, "newcomer")
    client = await lab.temporal.client("newcomer")

    planned = await provision(lab, config, "--dry-run")
    assert planned.code == 0 and "would be: newcomer: namespace created, retention 90 days" in planned.out
    with pytest.raises(RPCError) as missing:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="newcomer"))
    assert missing.value.status is RPCStatusCode.NOT_FOUND

    done = await provision(lab, config)
    assert done.out == planned.out.replace("would be: ", ""), "it does what it said"
    assert (await provision(lab, config)).out == "1 namespaces are as they shall be\n"
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace="newcomer")
    )
    assert set(known.custom_attributes) == set(REGISTRY)

    shorter = await provision(lab, with_namespace(lab, tmp_path, "newcomer", retention="30d"))
    assert shorter.out == "newcomer: retention set to 30 days\n"
    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="newcomer"))
    assert found.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=30)
    assert found.namespace_info.description == "Partial failover of acme, acme-vdc"


async def test_schedules_are_made_changed_and_otherwise_left_alone(lab: Lab, tmp_path: Path) -> None:
    def config(**schedule: object) -> Path:
        data = configured(lab, "provider")
        nightly = {"cron": ["0 3 * * *"], "period": "1d", "test": {"vms": ["erp-db-01"]}, **schedule}
        tenant = {**data["tenants"][0], "namespace": "scheduled", "schedules": {"erp-nightly": nightly}}
        return written(tmp_path, {**data, "tenants": [tenant]})

    planned = await provision(lab, config(), "--dry-run")
    assert "would be: scheduled: schedule erp-nightly created" in planned.out
    done = await provision(lab, config())
    assert done.out == planned.out.replace("would be: ", ""), "it does what it said"

    handle = (await lab.client("scheduled")).get_schedule_handle("erp-nightly")
    await handle.pause(note="the backup server is rebuilt")
    assert (await provision(lab, config())).out == "1 namespaces are as they shall be\n"

    later = await provision(lab, config(cron=["0 5 * * *"]))
    assert later.out == "scheduled: schedule erp-nightly updated\n"
    found = (await handle.describe()).schedule
    assert [c.hour[0].start for c in found.spec.calendars] == [5]
    assert found.state.paused and found.state.note == "the backup server is rebuilt", "a pause stays"

    refused = await provision(lab, config(cron=["at three o'clock"]))
    assert refused.code == 1 and "schedules.erp-nightly" in refused.error
    refused = await provision(lab, config(test={"vms": ["a", "a"]}))
    assert refused.code == 2 and "tenants.0.schedules.erp-nightly.test" in refused.error


async def test_an_attribute_of_another_type_is_refused_in_words(lab: Lab, tmp_path: Path) -> None:
    client = await lab.temporal.client("odd")
    request = RegisterNamespaceRequest(namespace="odd")
    request.workflow_execution_retention_period.FromTimedelta(timedelta(days=1))
    await client.workflow_service.register_namespace(request)
    text = {"ReplicaState": IndexedValueType.INDEXED_VALUE_TYPE_INT}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="odd", search_attributes=text)
    )
    refused = await provision(lab, with_namespace(lab, tmp_path, "odd"))
    assert refused.code == 1
    assert "search attribute ReplicaState with another type than Keyword" in refused.error


async def test_a_worker_refuses_a_namespace_that_is_not_provisioned(lab: Lab, tmp_path: Path) -> None:
    refused = await run(lab, "worker.py", with_namespace(lab, tmp_path, "unheard-of"))
    assert refused.code == 2
    assert "Namespace unheard-of is not provisioned: it lacks the namespace itself" in refused.error
    assert "Run partial-failover operate provision" in refused.error


async def test_it_needs_no_secret_of_the_file(lab: Lab, tmp_path: Path) -> None:
    cloud = configured(lab, "provider")["cloud_director"]
    missing = {"file": str(tmp_path / "nowhere")}
    config = with_namespace(lab, tmp_path, "acme", cloud_director={**cloud, "api_token": missing})
    planned = await provision(lab, config, "--dry-run")
    assert planned.code == 0, planned.error
    assert (await run(lab, "worker.py", config, "--check")).code == 2


async def test_only_the_provider_provisions(lab: Lab) -> None:
    refused = await provision(lab, lab.configs["acme"])
    assert refused.code == 2 and "is not a provider's" in refused.error
