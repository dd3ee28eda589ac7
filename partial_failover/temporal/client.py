"""The connection to the Temporal server, and a client of it for each tenant's namespace."""

import asyncio
import logging
import re
from functools import cache

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from partial_failover.contracts.errors import Misconfigured, Unavailable
from partial_failover.settings import TemporalSettings
from partial_failover.temporal.converter import data_converter

MINUTES_LONG = ("failover_step_duration", "failover_time_to_power_on", "failover_time_to_reachable")
"""Histograms that the SDK's own buckets, which end at 10 s, do not fit."""
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Seconds."""
CONNECT_SECONDS = 20.0
"""Until a Temporal server must have answered."""


async def connect(settings: TemporalSettings, metrics_address: str | None = None) -> Client:
    """Connect as Temporal's own environment configuration says.

    Raises `Misconfigured` when that cannot be used, `Unavailable` when no server answers.
    """
    do = "Check TEMPORAL_ADDRESS, TEMPORAL_PROFILE and the file that TEMPORAL_CONFIG_FILE names"
    try:
        config = ClientConfig.load_client_connect_config(profile=settings.profile)
    except OSError as error:
        reason = f"{error.filename} cannot be read ({error.strerror})"
        raise Misconfigured(f"Temporal's connection configuration: {reason}", do=do) from None
    except Exception as error:  # the SDK's own type for it is not public
        raise Misconfigured(f"Temporal's connection configuration: {error}", do=do) from None
    runtime, address = _runtime(metrics_address), config.get("target_host", "")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await Client.connect(**config, runtime=runtime)
    except ValueError as error:
        raise Misconfigured(f"Temporal's address {address!r} cannot be used: {error}", do=do) from None
    except TimeoutError:
        raise Unavailable(f"Temporal at {address} did not answer in {CONNECT_SECONDS:.0f} s", do=do) from None
    except RuntimeError as error:
        reason = ": ".join(re.findall(r'"([^"]+)"', str(error))) or str(error)
        raise Unavailable(f"Temporal at {address} cannot be reached ({reason[:300]})", do=do) from None


@cache
def _runtime(metrics_address: str | None) -> Runtime:
    """With threads of its own, so one for a process. Its core logs as everything else does: left alone, it
    writes coloured text to standard output."""
    prometheus = metrics_address and PrometheusConfig(
        bind_address=metrics_address,
        durations_as_seconds=True,
        counters_total_suffix=True,
        histogram_bucket_overrides=dict.fromkeys(MINUTES_LONG, BUCKETS),
    )
    forwarding = LogForwardingConfig(
        logging.getLogger("temporalio.core"),
        append_target_to_name=False,
        prepend_target_on_message=False,
        append_log_fields_to_message=False,
    )
    telemetry = TelemetryConfig(
        logging=LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding),
        metrics=prometheus or None,
        attach_service_name=False,
    )
    try:
        return Runtime(telemetry=telemetry)
    except ValueError as error:
        do = "Free that address, or change metrics_address"
        raise Misconfigured(f"Metrics cannot be served at {metrics_address}: {error}", do=do) from None


def client_for(connection: Client, namespace: str) -> Client:
    """A client for one tenant's namespace, over the same connection, with the product's converter."""
    return Client(connection.service_client, namespace=namespace, data_converter=data_converter)
