"""`--check` with the appliances switched on: what they say of themselves is looked at."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from lab.lab import Lab
from partial_failover import factories
from partial_failover.connectors.attempt import Attempt
from partial_failover.settings import ProviderWorkerSettings, load
from tests.deploy.commands import check, configured, lines, written


@pytest.fixture
def switched_on(lab: Lab) -> Iterator[None]:
    """Both of acme's, the provider's through Cloud Director."""
    settings = load(lab.configs["provider"])
    assert isinstance(settings, ProviderWorkerSettings)
    cloud, site = factories.cloud_director(settings.cloud_director), lab.centre.sites["acme"]
    vdc = cloud.organization_vdc("acme", "acme-vdc")
    provider, tenant = vdc.vm_named("acme-network-extension"), site.vm("network-extension")
    site.hypervisor.power_on(tenant)
    vdc.power_on(provider.id, Attempt(monotonic() + 30))
    yield
    site.hypervisor.power_off(tenant)
    vdc.undeploy(provider.id, Attempt(monotonic() + 30))
    cloud.close()


def of_provider(lab: Lab) -> dict[str, Any]:
    """Its appliance for acme, and the key for it."""
    settings = configured(lab, "provider")
    return {**settings["tenants"][0]["appliance"], "key": settings["appliance_key"]}


def nothing(lab: Lab, data: dict[str, Any]) -> None:
    pass


def another_host_key(lab: Lab, data: dict[str, Any]) -> None:
    data["tenants"][0]["appliance"]["host_key"] = of_provider(lab)["host_key"]


def the_other_sides(lab: Lab, data: dict[str, Any]) -> None:
    other = of_provider(lab)
    data["tenants"][0]["appliance"].update({name: other[name] for name in ("host", "port", "host_key")})
    data["appliance_key"] = other["key"]


def a_key_that_is_not_let_in(lab: Lab, data: dict[str, Any]) -> None:
    data["appliance_key"] = of_provider(lab)["key"]


def a_port_where_nobody_listens(lab: Lab, data: dict[str, Any]) -> None:
    data["tenants"][0]["appliance"]["port"] = 1


@pytest.mark.usefixtures("switched_on")
@pytest.mark.parametrize(
    ("spoil", "status", "message"),
    [
        (nothing, "ok", "answers; program version"),
        (another_host_key, "FAILED", "shows another host key"),
        (the_other_sides, "FAILED", "says that it is the provider's, not the tenant's"),
        (a_key_that_is_not_let_in, "FAILED", "refused the key"),
        (a_port_where_nobody_listens, "FAILED", "did not answer"),
    ],
)
async def test_the_tenants_appliance_is_asked(
    lab: Lab, tmp_path: Path, spoil: Any, status: str, message: str
) -> None:
    data = configured(lab, "acme")
    spoil(lab, data)
    ran = await check(lab, written(tmp_path, data))
    appliance = lines(ran.out)["acme", "appliance"]
    assert appliance.startswith(status) and message in appliance, ran.out


@pytest.mark.usefixtures("switched_on")
@pytest.mark.parametrize("worker", ["provider", "acme"])
async def test_an_appliance_with_another_version_of_the_program_is_named(
    lab: Lab, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lines((await check(lab, lab.configs[worker])).out)["acme", "appliance"].startswith("ok")
    monkeypatch.setattr("appliance.requests.VERSION", "0")
    ran = await check(lab, lab.configs[worker])
    appliance = lines(ran.out)["acme", "appliance"]
    assert ran.code == 1 and appliance.startswith("FAILED") and "has version 0" in appliance, ran.out
