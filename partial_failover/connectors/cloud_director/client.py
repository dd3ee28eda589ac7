"""One principal at one Cloud Director: what it is there, and the organization VDCs that it hands out."""

from pathlib import Path
from urllib.parse import quote

from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.changes import Changer
from partial_failover.connectors.cloud_director.errors import TRY_LATER
from partial_failover.connectors.cloud_director.organization_vdc import OrganizationVdc
from partial_failover.connectors.cloud_director.reader import understood
from partial_failover.connectors.cloud_director.session import Login
from partial_failover.connectors.cloud_director.transport import Transport
from partial_failover.contracts.errors import Misconfigured, Unavailable


class CloudDirector:
    """Used from many threads. All calls raise the errors of `contracts.errors` only."""

    def __init__(
        self,
        url: str,
        api_token: str | Path,
        ca_file: Path | None,
        api_version: str | None = None,
        org: str = "System",
        timeout: tuple[float, float] = (5, 60),
    ) -> None:
        """`api_version`: None for the highest that both sides know. `api_token`: itself, or the file that has
        it, where one that changes is kept. `timeout`: seconds to connect, and between two pieces of an
        answer. Sends nothing yet."""
        self._transport = Transport(Login(url, org, api_token, ca_file, api_version, timeout))
        self._changer = Changer(self._transport)

    def organization_vdc(self, org: str, name: str) -> OrganizationVdc:
        """All that this principal may do in one VDC; both names are compared exactly. Sends nothing yet."""
        return OrganizationVdc(self._transport, self._changer, org, name)

    def check(self) -> str:
        """In a sentence that the API version is served and the login works. `Misconfigured` otherwise."""
        login, served = self._transport.login, self._transport.versions()
        version = login.api_version()
        if version not in served:
            raise Misconfigured(
                f"Cloud Director at {login.origin} does not serve API version {version}; "
                f"it serves {', '.join(sorted(served)) or 'none'}",
                do="Take the API version out of the worker's configuration, or set one of these",
            )
        session = self._transport.get("session", "log in")
        user, org = session.get("user", "?"), session.get("org", "?")
        old = " (deprecated: the next upgrade may remove it)" if served[version] else ""
        return f"{login.origin} serves API {version}{old}; logged in as {user} of {org}"

    def rights(self) -> frozenset[str]:
        """Names of all rights of the account's roles."""
        doing = "read the rights of the account"
        session = self._transport.json("1.0.0/sessions/current", doing)
        roles = understood(lambda: [str(role["id"]) for role in session["roleRefs"]], doing)
        rights = [
            right
            for role in roles
            for right in self._transport.pages(f"1.0.0/roles/{quote(role, safe='')}/rights", {}, doing)
        ]
        return understood(lambda: frozenset(str(right["name"]) for right in rights), doing)

    def vcenter_url(self, vcenter: str) -> str:
        """Address of the vCenter with this UUID; seen by the provider only."""
        xml.checked_uuid(vcenter, "vCenter")
        body = self._transport.get(
            f"admin/extension/vimServer/{vcenter}",
            f"read the vCenter {vcenter}",
            f"Cloud Director has no vCenter {vcenter}, or the account may not see it",
        )
        url = body.findtext("{*}Url")
        if not url:
            raise Unavailable(f"Cloud Director told no address of the vCenter {vcenter}", do=TRY_LATER)
        return url.strip()

    def close(self) -> None:
        """Log out. Never raises."""
        self._transport.close()
