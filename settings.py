"""The one YAML file of a worker. Secrets are named by file or environment variable, never written in it."""

import os
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from contracts.appliance import HostKey
from contracts.plan import Extension, Gateway
from contracts.request import Duration
from contracts.schedule import ScheduleName, TestSchedule


class Settings(BaseModel):
    """Closed: an unknown setting is a typing mistake, and is refused with its path."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _handed_over(file: Path) -> Path:
    """systemd hands credentials over in a folder of each unit, and names it in the environment."""
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", ""), file)


File = Annotated[Path, AfterValidator(_handed_over)]
"""A relative path is below `$CREDENTIALS_DIRECTORY`, where that is set."""


class SecretFrom(Settings):
    """Where a secret is read from at start: `file` (its first line) or `env` (a variable's name)."""

    file: File | None = None
    env: str | None = None

    @model_validator(mode="after")
    def _one_source_that_can_be_read(self, info: ValidationInfo) -> "SecretFrom":
        if (self.file is None) == (self.env is None):
            raise ValueError("names exactly one of file and env")
        if (info.context or {}).get("without_secrets"):
            return self
        if self.file is not None and not os.access(self.file, os.R_OK):
            raise ValueError(f"the file {self.file} cannot be read")
        if self.env is not None and not os.environ.get(self.env):
            raise ValueError(f"the environment variable {self.env} is not set")
        return self

    def read(self) -> str:
        """The secret itself. It is passed on to a connector and kept nowhere else."""
        if self.file is not None:
            return self.file.read_text().strip()
        return os.environ[self.env or ""]


class TemporalSettings(Settings):
    """`profile`: of Temporal's own environment configuration (file, `TEMPORAL_*` variables)."""

    profile: str | None = None


class CloudDirectorSettings(Settings):
    """The provider's Cloud Director, with an API token of the System organization."""

    url: Annotated[str, Field(pattern=r"^https://")]
    ca_file: File | None = None
    api_version: str = "37.0"
    api_token: SecretFrom


class VCenterSettings(Settings):
    """A vCenter. `id`: its UUID in Cloud Director (`vimServer`), for the provider's."""

    id: str = ""
    host: str
    port: int = 443
    ca_file: File
    username: str
    password: SecretFrom
    api_version: str = "vim.version.v8_0_3_0"
    operations: Annotated[int, Field(ge=1, le=128)] = 8
    """Reverts and power-ons that this process has under way at it at the same time, over all tenants."""


ListenOn = Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-\[\]:]+:\d{1,5}$")]
"""Address and port to listen on, such as "127.0.0.1:9464"."""


class SshSettings(Settings):
    """How an appliance is reached. `host_key`: its pinned public key, "ssh-ed25519 AAAA…". `new_host_key`:
    accepted too, while it follows the other."""

    host: str
    port: int = 22
    host_key: HostKey
    new_host_key: HostKey | None = None


class ProviderApplianceSettings(SshSettings):
    """`vm`: its name in the org VDC. `management_network`: its own way out, not extended to the tenant.
    `spares`: one reserved address for each org VDC network. `vpn_address`: where the cloud gateway reaches
    its VPN server; `host` if it is not set."""

    vm: str
    management_network: str
    spares: dict[str, IPv4Address]
    vpn_address: IPv4Address | None = None


class TestNetworkSettings(Settings):
    """An isolated organization VDC network for failover tests. `reachable`: set only where this worker has
    a route to it: then TCP and HTTP checks connect to addresses in this subnet, and to no others."""

    __test__ = False
    name: str
    reachable: IPv4Network | None = None


class GuestProgramSettings(Settings):
    """A program that tests may run in a guest. `path`: absolute, in the guest. It must be safe to run twice:
    after a lost answer it is started again."""

    path: Annotated[str, Field(pattern=r"^(/|[A-Za-z]:\\)", max_length=500)]
    arguments: Annotated[str, Field(max_length=1000)] = ""
    username: str
    password: SecretFrom


class ProviderTenantSettings(Settings):
    """What one tenant's namespace may touch at the provider."""

    namespace: str
    organization: str
    vdc: str
    replica_suffix: Annotated[str, Field(min_length=1)] = "_replica"
    extension: Extension = Extension.NONE
    gateway: Gateway | None = None
    appliance: ProviderApplianceSettings | None = None
    peer_fingerprint: str | None = None
    test_network: TestNetworkSettings | None = None
    """Without it, replicas under test have no network at all."""
    guest_programs: dict[str, GuestProgramSettings] = {}
    """By the name under which a test's checks may ask for them."""
    schedules: dict[ScheduleName, TestSchedule] = {}
    """Failover tests that `python -m operate provision` puts on schedules."""

    @model_validator(mode="after")
    def _extension_is_whole(self) -> "ProviderTenantSettings":
        if self.appliance is not None and self.extension is not Extension.APPLIANCE:
            raise ValueError('appliance is set, but extension is not "appliance"')
        if self.appliance is not None and self.gateway is None:
            raise ValueError("an appliance needs gateway: the tenant's end dials it")
        return self


class TenantNetworkSettings(Settings):
    """`port_group`: the production network in vSphere. `spare`: one reserved address in it, another
    one than the provider's appliance has."""

    port_group: str
    spare: IPv4Address


class TenantApplianceSettings(SshSettings):
    """`vm`: its name in the tenant's vCenter. `networks`: by name of the org VDC network."""

    vm: str
    networks: dict[str, TenantNetworkSettings]


class BackupServerSettings(Settings):
    """The tenant's Veeam Backup & Replication server."""

    url: Annotated[str, Field(pattern=r"^https://")]
    ca_file: File | None = None
    api_version: Literal["1.3-rev0", "1.3-rev1", "1.3-rev2"] = "1.3-rev1"
    username: str
    password: SecretFrom


class TenantSiteSettings(Settings):
    """What one tenant's namespace may touch at the tenant's site."""

    namespace: str
    backup_server: BackupServerSettings
    vcenter: VCenterSettings
    appliance: TenantApplianceSettings | None = None
    drain_patience: Annotated[Duration, Field(le=timedelta(minutes=15))] = timedelta(minutes=10)
    """How long a replication run in flight is waited for before it is asked to stop."""


class ProviderWorkerSettings(Settings):
    """Role `provider`: workflows, replica and provider-appliance steps, for many tenants."""

    role: Literal["provider"]
    temporal: TemporalSettings = TemporalSettings()
    cloud_director: CloudDirectorSettings
    vcenters: Annotated[tuple[VCenterSettings, ...], Field(min_length=1)]
    appliance_key: File | None = None
    tenants: Annotated[tuple[ProviderTenantSettings, ...], Field(min_length=1)]
    threads: Annotated[int, Field(ge=2, le=512)] = 32
    """Steps that may run at the same time in this process, over all tenants."""
    retention: Annotated[Duration, Field(ge=timedelta(days=1))] = timedelta(days=90)
    """How long ended failovers can be looked up in each tenant's namespace; whole days."""
    metrics_address: ListenOn | None = None
    """Where Prometheus reads the metrics, at `/metrics`."""
    health_address: ListenOn | None = None
    """Where health is asked: `/live` (the process turns) and `/work` (it gets work for every tenant)."""

    @model_validator(mode="after")
    def _consistent(self) -> "ProviderWorkerSettings":
        _unique_namespaces([t.namespace for t in self.tenants])
        if any(t.appliance for t in self.tenants) and self.appliance_key is None:
            raise ValueError("appliance_key is needed: a tenant has an appliance")
        return self


class TenantSiteWorkerSettings(Settings):
    """Role `tenant-site`: hold and tenant-appliance steps."""

    role: Literal["tenant-site"]
    temporal: TemporalSettings = TemporalSettings()
    appliance_key: File | None = None
    tenants: Annotated[tuple[TenantSiteSettings, ...], Field(min_length=1)]
    threads: Annotated[int, Field(ge=2, le=512)] = 8
    metrics_address: ListenOn | None = None
    health_address: ListenOn | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "TenantSiteWorkerSettings":
        _unique_namespaces([t.namespace for t in self.tenants])
        if any(t.appliance for t in self.tenants) and self.appliance_key is None:
            raise ValueError("appliance_key is needed: a tenant has an appliance")
        return self


def _unique_namespaces(names: list[str]) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"namespace given to two tenants: {', '.join(twice)}")


WorkerSettings = ProviderWorkerSettings | TenantSiteWorkerSettings


class _File(RootModel[Annotated[WorkerSettings, Field(discriminator="role")]]):
    """The whole file: which settings it may hold depends on its role."""


class BadSettings(Exception):
    """The file cannot be used; the text names every problem with its path."""


def load(file: Path, without_secrets: bool = False) -> WorkerSettings:
    """Read and check the file. Raises `BadSettings` with all problems at once.

    `without_secrets`: for a machine that has none of them; whoever reads one finds out then.
    """
    try:
        data = yaml.safe_load(file.read_text())
    except OSError as error:
        raise BadSettings(f"{file}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise BadSettings(f"{file}: is not YAML: {error}") from error
    try:
        return _File.model_validate(data, context={"without_secrets": without_secrets}).root
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in e['loc'][1:]) or 'file'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise BadSettings(f"{file}:\n" + "\n".join(lines)) from None
