"""The workers' YAML files for the lab, as a provider and its tenants would write them."""

from pathlib import Path
from typing import Any  # Any: what YAML holds

import yaml

from lab.data_centre import GUEST_PROGRAM, GUEST_USER, SUFFIX, DataCentre
from lab.fabric.provision import Access, worker_key
from lab.site import APPLIANCE, BACKUP_USER, USER, TenantSite, gateway_address, vpn_address
from lab.tenants import Tenant
from partial_failover.contracts.plan import Extension


def write_configs(lab: DataCentre) -> dict[str, Path]:
    """Write one file for the provider's worker and one for each tenant site; by their names."""
    secrets = {"password": lab.password, "api-token": lab.api_token}
    for name, value in secrets.items():
        file = lab.keys / name
        file.touch(mode=0o600)
        file.write_text(value)
    files = {"provider": _write(lab.folder / "provider.yaml", _provider(lab))}
    for name, site in lab.sites.items():
        files[name] = _write(lab.folder / f"tenant-site-{name}.yaml", _tenant_site(lab, site))
    return files


def _write(file: Path, data: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return file


def _provider(lab: DataCentre) -> dict[str, Any]:
    return {
        "role": "provider",
        "cloud_director": {
            "url": lab.cloud.url,
            "ca_file": str(lab.authority.ca_file),
            "api_token": {"file": str(lab.keys / "api-token")},
        },
        "vcenters": [{"id": lab.cloud.vcenter_id, **_vcenter(lab, lab.vcenter.port)}],
        "proof_key": {"file": str(lab.proof_key), "public": worker_key(lab.proof_key)},
        "appliance_key": str(lab.keys / "provider-ssh"),
        "tenants": [_provider_tenant(lab, site.tenant) for site in lab.sites.values()],
    }


def _provider_tenant(lab: DataCentre, tenant: Tenant) -> dict[str, Any]:
    data: dict[str, Any] = {
        "namespace": tenant.name,
        "organization": tenant.name,
        "vdc": f"{tenant.name}-vdc",
        "replica_suffix": SUFFIX,
        "extension": str(tenant.extension),
        "guest_programs": {
            "verify-orders": {
                "path": GUEST_PROGRAM,
                "username": GUEST_USER,
                "password": {"file": str(lab.keys / "password")},
            }
        },
    }
    if tenant.test_network is not None:
        data["test_network"] = {"name": f"{tenant.name}-tests"}
    if tenant.extension is Extension.APPLIANCE:
        host, port = gateway_address(tenant)
        data["gateway"] = {"host": str(host), "port": port}
        data["appliance"] = {
            "vm": f"{tenant.name}-{APPLIANCE}",
            **_ssh(lab.access[tenant.name]),
            "vpn_address": str(vpn_address(tenant)),
            "management_network": f"{tenant.name}-management",
            "spares": {lan.name: str(lan.provider_spare) for lan in tenant.lans},
        }
    return data


def _tenant_site(lab: DataCentre, site: TenantSite) -> dict[str, Any]:
    tenant = site.tenant
    data: dict[str, Any] = {
        "namespace": tenant.name,
        "backup_server": {
            "url": site.backup.url,
            "ca_file": str(lab.authority.ca_file),
            "username": BACKUP_USER,
            "password": {"file": str(lab.keys / "password")},
        },
        "vcenter": _vcenter(lab, site.vcenter.port),
    }
    keys = [worker_key(lab.proof_key)]
    whole: dict[str, Any] = {"role": "tenant-site", "proof_keys": keys, "tenants": [data]}
    if site.access is not None:
        whole["appliance_key"] = str(site.access.key_file)
        data["appliance"] = {
            "vm": APPLIANCE,
            **_ssh(site.access),
            "networks": {
                lan.name: {"port_group": lan.port_group, "spare": str(lan.tenant_spare)}
                for lan in tenant.lans
            },
        }
    return whole


def _vcenter(lab: DataCentre, port: int) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "ca_file": str(lab.authority.ca_file),
        "username": USER,
        "password": {"file": str(lab.keys / "password")},
    }


def _ssh(access: Access) -> dict[str, Any]:
    return {"host": access.host, "port": access.port, "host_key": access.host_key}
