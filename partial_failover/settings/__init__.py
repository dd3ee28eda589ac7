"""The one YAML file of a worker. Secrets are named by file or environment variable, never written in it."""

from partial_failover.settings.fields import SecretFrom
from partial_failover.settings.file import BadSettings, load
from partial_failover.settings.models import (
    BackupServerSettings,
    CloudDirectorSettings,
    FrontendSettings,
    GateSettings,
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
    "FrontendSettings",
    "GateSettings",
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
