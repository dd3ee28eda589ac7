"""The one YAML file of a worker. Secrets are named by file or environment variable, never written in it."""

from settings.fields import SecretFrom
from settings.file import BadSettings, load
from settings.models import (
    BackupServerSettings,
    CloudDirectorSettings,
    GuestProgramSettings,
    ProviderApplianceSettings,
    ProviderTenantSettings,
    ProviderVCenterSettings,
    ProviderWorkerSettings,
    SshSettings,
    TemporalSettings,
    TenantApplianceSettings,
    TenantNetworkSettings,
    TenantSiteSettings,
    TenantSiteWorkerSettings,
    TestNetworkSettings,
    VCenterSettings,
    WorkerSettings,
)

__all__ = [
    "BackupServerSettings",
    "BadSettings",
    "CloudDirectorSettings",
    "GuestProgramSettings",
    "ProviderApplianceSettings",
    "ProviderTenantSettings",
    "ProviderVCenterSettings",
    "ProviderWorkerSettings",
    "SecretFrom",
    "SshSettings",
    "TemporalSettings",
    "TenantApplianceSettings",
    "TenantNetworkSettings",
    "TenantSiteSettings",
    "TenantSiteWorkerSettings",
    "TestNetworkSettings",
    "VCenterSettings",
    "WorkerSettings",
    "load",
]
