"""What is held, and answers that are none."""

import ssl

import httpx
import pytest

from lab.http_server import HttpServer, json_response
from lab.injected_faults import InjectedFaults
from lab.tls import Authority
from partial_failover.connectors.veeam import Veeam
from partial_failover.contracts.errors import (
    BadRequest,
    NotFound,
    Unavailable,
)
from tests.connectors.veeam.site import Site, attempt, held


async def test_a_target_is_found_by_its_exact_name_only(site: Site) -> None:
    client = site.client()
    site.endpoint.brief_lists = True
    assert (await client.find_target("erp-db-01")).jobs == ("Replicate ERP",)
    for name in ("erp-db-0", "ERP-DB-01", "*", "", "erp-db-01\n' OR 1=1"):
        with pytest.raises(NotFound, match="looked at: Replicate ERP"):
            await client.find_target(name)


async def test_two_vms_of_one_name_are_refused_and_two_jobs_of_one_vm_are_not(site: Site) -> None:
    client, endpoint = site.client(), site.endpoint
    original, replica = site.originals["erp-db-01"], site.replicas["erp-db-01"]
    endpoint.add_job("Nightly", [(original, replica)])
    assert (await client.find_target("erp-db-01")).jobs == ("Replicate ERP", "Nightly")
    twin = endpoint.replication.site.add_vm("erp-db-01", ["lan"])
    endpoint.add_job("Twins", [(twin, replica)])
    with pytest.raises(BadRequest, match="Several VMs"):
        await client.find_target("erp-db-01")


async def test_lists_longer_than_a_page_are_read_to_the_end(site: Site) -> None:
    site_vms = site.endpoint.replication.site
    for number in range(450):
        vm = site_vms.add_vm(f"other-{number}", [])
        site.endpoint.replication.exclude(site_vms.name, vm.name, vm.moref)
    client = site.client()
    target = await held(site, client)
    assert await client.hold_of(target) is not None
    assert await client.release(target, "run-1", attempt())
    assert len(site.endpoint.exclusions) == 450


@pytest.mark.parametrize("owner", ["", " ", "a\nb", "x" * 201, "a\x00"])
async def test_an_owner_that_cannot_be_a_note_is_refused(site: Site, owner: str) -> None:
    client = site.client()
    target = await client.find_target("erp-db-01")
    with pytest.raises(BadRequest):
        await client.hold(target, owner, attempt())
    assert site.endpoint.exclusions == ()


async def test_a_closed_client_has_logged_out(site: Site) -> None:
    client = site.client()
    await client.check()
    await client.close()
    assert site.count("POST /api/oauth2/logout") == 1
    trust = ssl.create_default_context(cafile=site.ca_file)
    async with httpx.AsyncClient(verify=trust) as anonymous:
        answer = await anonymous.get(
            site.endpoint.url + "/api/v1/jobs", headers={"x-api-version": "1.3-rev1"}
        )
    assert answer.status_code == 401


HOSTILE_TOKEN = {"access_token": "a b\u0000", "refresh_token": "r", "expires_in": 900}


@pytest.mark.parametrize("content", [None, {"data": 1}, HOSTILE_TOKEN], ids=["empty", "other", "hostile"])
async def test_an_answer_that_is_no_answer_is_unavailable(
    authority: Authority, content: dict[str, object] | None
) -> None:
    """A server that says 200 to everything, with a body that cannot be read."""
    server = HttpServer("veeam", InjectedFaults(), authority.server_context("veeam"))
    server.start(lambda request: json_response(200, content))
    try:
        client = Veeam(server.url, "u", "p", authority.ca_file, timeout=3)
        with pytest.raises(Unavailable, match="cannot be read"):
            await client.check()
        await client.close()
    finally:
        server.close()
