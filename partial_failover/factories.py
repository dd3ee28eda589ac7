"""Connectors made from the settings. Secrets are read here; no call is made yet."""

from pathlib import Path

from partial_failover.connectors.appliance import Appliance
from partial_failover.connectors.cloud_director import CloudDirector
from partial_failover.connectors.veeam import Veeam
from partial_failover.connectors.vsphere import VCenterLogin, VSphere
from partial_failover.settings import (
    BackupServerSettings,
    CloudDirectorSettings,
    SshSettings,
    VCenterSettings,
)


def cloud_director(settings: CloudDirectorSettings) -> CloudDirector:
    """The provider's Cloud Director."""
    token = settings.api_token.file or settings.api_token.read()
    return CloudDirector(settings.url, token, settings.ca_file, api_version=settings.api_version)


def vsphere(settings: VCenterSettings) -> VSphere:
    """One vCenter."""
    login = VCenterLogin(
        settings.host,
        settings.port,
        settings.username,
        settings.password.read(),
        settings.ca_file,
        settings.api_version,
    )
    return VSphere(login)


def backup_server(settings: BackupServerSettings) -> Veeam:
    """A tenant's backup server."""
    return Veeam(
        settings.url, settings.username, settings.password.read(), settings.ca_file, settings.api_version
    )


def appliance(settings: SshSettings | None, key: Path | None) -> Appliance | None:
    """One appliance, where there is one."""
    if settings is None or key is None:
        return None
    return Appliance(settings.host, settings.port, settings.host_key, key, new_host_key=settings.new_host_key)
