"""Every setting of both roles."""

from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, model_validator

from partial_failover.connectors.appliance import public_key
from partial_failover.contracts.appliance import Fingerprint
from partial_failover.contracts.check import ProgramName
from partial_failover.contracts.endpoint import HostName, Port
from partial_failover.contracts.plan import CloudGateway, Extension
from partial_failover.contracts.request import Duration
from partial_failover.contracts.schedule import ScheduleName, TestSchedule
from partial_failover.settings.fields import (
    CaFile,
    Host,
    HttpsUrl,
    KeyFile,
    ListenOn,
    PublicKey,
    SecretFrom,
    Settings,
    Text,
    VCenterId,
    VimVersion,
    elsewhere,
)


class TemporalSettings(Settings):
    """`profile`: of Temporal's own environment configuration (file, `TEMPORAL_*` variables)."""

    profile: Text | None = None


class CloudDirectorSettings(Settings):
    """The provider's Cloud Director, with an API token of the System organization."""

    url: HttpsUrl
    ca_file: CaFile | None = None
    api_version: Annotated[str, Field(pattern=r"^\d{2}\.\d+$")] | None = None
    """None: the highest that both sides know."""
    api_token: SecretFrom


class VCenterSettings(Settings):
    """A vCenter."""

    host: Host
    port: Port = 443
    ca_file: CaFile
    username: Text
    password: SecretFrom
    api_version: VimVersion = "vim.version.v8_0_3_0"
    operations: Annotated[int, Field(ge=1, le=128)] = 8
    """Reverts and power-ons that this process has under way at it at the same time, over all tenants."""


class ProviderVCenterSettings(VCenterSettings):
    """One of the provider's. `id`: its UUID in Cloud Director (`vimServer`)."""

    id: VCenterId


class SshSettings(Settings):
    """How an appliance is reached. `host_key`: its pinned public key, "ssh-ed25519 AAAA…". `new_host_key`:
    accepted too, while it follows the other."""

    host: Host
    port: Port = 22
    host_key: PublicKey
    new_host_key: PublicKey | None = None


class ProviderApplianceSettings(SshSettings):
    """`vm`: its name in the org VDC. `management_network`: its own way out, not extended to the tenant.
    `spares`: one reserved address for each org VDC network. `vpn_address`: where the cloud gateway reaches
    its VPN server; `host` if it is not set."""

    vm: Text
    management_network: Text
    spares: dict[Text, IPv4Address]
    vpn_address: IPv4Address | None = None


class TestNetworkSettings(Settings):
    """An isolated organization VDC network for failover tests. `reachable`: set only where this worker has
    a route to it: then TCP and HTTP checks connect to addresses in this subnet, and to no others."""

    __test__ = False
    name: Text
    reachable: IPv4Network | None = None


class GuestProgramSettings(Settings):
    """A program that tests may run in a guest. `path`: absolute, in the guest. It must be safe to run twice:
    after a lost answer it is started again."""

    path: Annotated[str, Field(pattern=r"^(/|[A-Za-z]:\\)", max_length=500)]
    arguments: Annotated[str, Field(max_length=1000)] = ""
    username: Text
    password: SecretFrom


class ProviderTenantSettings(Settings):
    """What one tenant's namespace may touch at the provider."""

    namespace: Text
    organization: Text
    vdc: Text
    replica_suffix: Text = "_replica"
    extension: Extension = Extension.NONE
    gateway: CloudGateway | None = None
    appliance: ProviderApplianceSettings | None = None
    peer_fingerprint: Fingerprint | None = None
    test_network: TestNetworkSettings | None = None
    """Without it, replicas under test have no network at all."""
    guest_programs: dict[ProgramName, GuestProgramSettings] = Field(default_factory=dict)
    """By the name under which a test's checks may ask for them."""
    schedules: dict[ScheduleName, TestSchedule] = Field(default_factory=dict)
    """Failover tests that `partial-failover operate provision` puts on schedules."""


class TenantNetworkSettings(Settings):
    """`port_group`: the production network in vSphere. `spare`: one reserved address in it, another
    one than the provider's appliance has."""

    port_group: Text
    spare: IPv4Address


class TenantApplianceSettings(SshSettings):
    """`vm`: its name in the tenant's vCenter. `networks`: by name of the org VDC network."""

    vm: Text
    networks: dict[Text, TenantNetworkSettings]


class BackupServerSettings(Settings):
    """The tenant's Veeam Backup & Replication server."""

    url: HttpsUrl
    ca_file: CaFile | None = None
    api_version: Literal["1.3-rev0", "1.3-rev1", "1.3-rev2"] = "1.3-rev1"
    username: Text
    password: SecretFrom


class TenantSiteSettings(Settings):
    """What one tenant's namespace may touch at the tenant's site."""

    namespace: Text
    backup_server: BackupServerSettings
    vcenter: VCenterSettings
    appliance: TenantApplianceSettings | None = None
    drain_patience: Annotated[Duration, Field(le=timedelta(minutes=15))] = timedelta(minutes=10)
    """How long a replication run in flight is waited for before it is asked to stop."""


class ProofKeySettings(Settings):
    """The key by which the provider's worker signs that a replica is Normal. `file`: the private half.
    `public`: the other, which the tenants' workers have under `proof_keys`."""

    file: KeyFile
    public: PublicKey

    @model_validator(mode="after")
    def _two_halves_of_one(self, info: ValidationInfo) -> "ProofKeySettings":
        if not elsewhere(info) and public_key(self.file).split()[:2] != self.public.split()[:2]:
            raise ValueError("public is not the public half of the key in file")
        return self


class FrontendSettings(Settings):
    """Temporal's frontend, as the gate reaches it."""

    host: HostName
    port: Port = 7233


class GateSettings(Settings):
    """The gate between tenants and Temporal. `server_name`: in the frontend's certificate, `frontend.host` if
    it is not set. `client_certificate`: the frontend wants one of the gate."""

    frontend: FrontendSettings
    server_name: HostName | None = None
    client_certificate: bool = False
    people_port: Port = 7233
    workers_port: Port = 7234


class ProviderWorkerSettings(Settings):
    """Role `provider`: workflows, replica and provider-appliance steps, for many tenants."""

    role: Literal["provider"]
    temporal: TemporalSettings = TemporalSettings()
    cloud_director: CloudDirectorSettings
    vcenters: Annotated[tuple[ProviderVCenterSettings, ...], Field(min_length=1)]
    proof_key: ProofKeySettings
    appliance_key: KeyFile | None = None
    gate: GateSettings | None = None
    tenants: Annotated[tuple[ProviderTenantSettings, ...], Field(min_length=1)]
    threads: Annotated[int, Field(ge=2, le=512)] = 32
    """Steps that may run at the same time in this process, over all tenants."""
    retention: Annotated[Duration, Field(ge=timedelta(days=1))] = timedelta(days=90)
    """How long ended failovers can be looked up in each tenant's namespace; whole days."""
    metrics_address: ListenOn | None = None
    """Where Prometheus reads the metrics, at `/metrics`."""
    health_address: ListenOn | None = None
    """Where health is asked: `/live` (the process turns) and `/work` (it gets work for every tenant)."""


class TenantSiteWorkerSettings(Settings):
    """Role `tenant-site`: hold and tenant-appliance steps."""

    role: Literal["tenant-site"]
    temporal: TemporalSettings = TemporalSettings()
    proof_keys: Annotated[tuple[PublicKey, ...], Field(min_length=1, max_length=4)]
    """Of the provider's worker: its proof that a replica is Normal is believed. Two while one follows the
    other."""
    appliance_key: KeyFile | None = None
    tenants: Annotated[tuple[TenantSiteSettings, ...], Field(min_length=1)]
    threads: Annotated[int, Field(ge=2, le=512)] = 8
    metrics_address: ListenOn | None = None
    health_address: ListenOn | None = None


WorkerSettings = ProviderWorkerSettings | TenantSiteWorkerSettings
