"""Connectors made from the settings. Secrets are read here; no call is made yet."""

from pathlib import Path

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from connectors.appliances import Appliance
from connectors.cloud_director import CloudDirector
from connectors.veeam import Veeam
from connectors.vsphere import VSphere
from settings import (
    BackupServerSettings,
    CloudDirectorSettings,
    SshSettings,
    TemporalSettings,
    VCenterSettings,
)

MINUTES_LONG = ("failover_step_duration", "failover_time_to_power_on", "failover_time_to_reachable")
"""Histograms that the SDK's own buckets, which end at 10 s, do not fit."""
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Seconds."""


async def temporal(settings: TemporalSettings, metrics_address: str | None = None) -> Client:
    """Connect as Temporal's own environment configuration says. Raises `RuntimeError` when that fails."""
    try:
        config = ClientConfig.load_client_connect_config(profile=settings.profile)
    except OSError as error:
        raise RuntimeError(
            f"Temporal's configuration: {error.filename} cannot be read ({error.strerror})"
        ) from error
    if metrics_address is None:
        return await Client.connect(**config)
    prometheus = PrometheusConfig(
        bind_address=metrics_address,
        durations_as_seconds=True,
        counters_total_suffix=True,
        histogram_bucket_overrides=dict.fromkeys(MINUTES_LONG, BUCKETS),
    )
    telemetry = TelemetryConfig(metrics=prometheus, attach_service_name=False)
    return await Client.connect(**config, runtime=Runtime(telemetry=telemetry))


def cloud_director(settings: CloudDirectorSettings) -> CloudDirector:
    """The provider's Cloud Director."""
    return CloudDirector(
        settings.url, settings.api_token.read(), settings.ca_file, api_version=settings.api_version
    )


def vsphere(settings: VCenterSettings) -> VSphere:
    """One vCenter."""
    return VSphere(
        settings.host,
        settings.port,
        settings.username,
        settings.password.read(),
        settings.ca_file,
        settings.api_version,
    )


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
