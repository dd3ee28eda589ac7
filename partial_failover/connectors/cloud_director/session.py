"""pyvcloud's client, made fit for a worker: no log files, timeouts, one host, no netrc, API-token login.

pyvcloud 23.0.4 is used as it is otherwise. It is not safe to share one client between threads, so each
thread has a `CloudDirectorSession`; they share the access token through one `Login`.
"""

import logging
import threading
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from lxml import etree
from pyvcloud.vcd.client import Client
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

from partial_failover.connectors import retry_after
from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.api_token import ApiToken
from partial_failover.connectors.cloud_director.errors import LIBRARY_ERRORS, TRY_LATER, Unreadable, error_of
from partial_failover.connectors.whole_call import bounded, seconds_left, within
from partial_failover.contracts.errors import Misconfigured, NoRight, Unavailable

PROVIDER_ORG = "system"
"""The organization of the provider's own users, compared without case as Cloud Director does."""

API_VERSIONS = ("37.0", "37.1", "37.2", "37.3", "38.0", "38.1", "39.0", "39.1")
"""Those of Cloud Director 10.4 to 10.6, oldest first. What is used here is the same in all of them."""


def served_versions(document: etree._Element) -> dict[str, bool]:
    """API versions that a `SupportedVersions` names, and whether each is deprecated."""
    infos = ((info, info.findtext("{*}Version")) for info in document.iterfind("{*}VersionInfo"))
    return {version.strip(): info.get("deprecated") == "true" for info, version in infos if version}


class _TimedAdapter(HTTPAdapter):
    """pyvcloud passes no timeout, so a silent server would hold a thread for ever. One that trickles holds it
    until the deadline of `whole_call`."""

    def __init__(self, timeout: tuple[float, float]) -> None:
        self._timeout = timeout
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
        """Any: what `requests` passes on. It puts the CA file into the context itself."""
        return super().init_poolmanager(*args, ssl_context=bounded(create_urllib3_context()), **kwargs)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Any: as above."""
        connect, read = self._timeout
        connect = seconds_left(connect)
        if connect <= 0:
            raise requests.ConnectTimeout("no time is left for the call", request=request)
        kwargs["timeout"] = connect, read
        return super().send(request, *args, **kwargs)


class Login:
    """Where Cloud Director is and who we are there: one API token, one access token for all threads."""

    def __init__(
        self,
        url: str,
        org: str,
        api_token: str | Path,
        ca_file: Path | None,
        api_version: str | None,
        timeout: tuple[float, float],
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise Misconfigured(
                f"{url!r} is not the https address of a Cloud Director", do="Use https://host"
            )
        self.origin = f"https://{parts.netloc}"
        self.provider = org.casefold() == PROVIDER_ORG
        self.org = org
        self._api_version = api_version
        self.verify: str | bool = str(ca_file) if ca_file else True
        self._api_token = ApiToken(api_token)
        self._timeout = timeout
        self.whole_call = sum(timeout)
        """Seconds for one call as a whole."""
        self._token: str | None = None
        self._lock = threading.Lock()

    def api_version(self, http: requests.Session | None = None) -> str:
        """The one that is set, else the highest of those that both sides know: asked for once."""
        with self._lock:
            if self._api_version is None:
                with within(self.whole_call):
                    self._api_version = self._negotiated(http or self.http())
            return self._api_version

    def _negotiated(self, http: requests.Session) -> str:
        try:
            answer = http.get(f"{self.origin}/api/versions", headers={"Accept": "application/*+xml"})
            served = served_versions(xml.document(answer.content)) if answer.status_code == 200 else {}
        except LIBRARY_ERRORS as error:
            raise error_of(error, "name its API versions") from None
        if answer.status_code != 200:
            pause = retry_after.seconds_of(answer.headers.get("Retry-After"))
            message = f"Cloud Director answered {answer.status_code} when asked to name its API versions"
            raise Unavailable(message, do=TRY_LATER, retry_after=pause)
        known = [version for version in API_VERSIONS if version in served]
        if not known:
            raise Misconfigured(
                f"Cloud Director at {self.origin} serves none of the API versions {API_VERSIONS[0]} to "
                f"{API_VERSIONS[-1]}; it serves {', '.join(sorted(served)) or 'none'}",
                do="Use Cloud Director 10.4 to 10.6, or a newer version of this product",
            )
        return known[-1]

    def http(self) -> requests.Session:
        """A session that follows no redirect and reads no netrc, which would replace our credentials."""
        session = requests.Session()
        session.trust_env = False
        session.max_redirects = 0
        session.verify = self.verify
        session.mount("https://", _TimedAdapter(self._timeout))
        return session

    def token(self, http: requests.Session, stale: str | None = None) -> str:
        """The access token; a new one when there is none or it is the one that was refused (`stale`)."""
        self.api_version(http)
        with self._lock:
            if self._token is None or self._token == stale:
                self._token = self._exchange(http)
            return self._token

    def forget(self) -> str | None:
        """The access token, which is not used any more from now on."""
        with self._lock:
            token, self._token = self._token, None
            return token

    def _exchange(self, http: requests.Session) -> str:
        """API token for access token (Cloud Director 10.3.1 and later; pyvcloud cannot do it)."""
        with self._api_token.in_use() as api_token:
            return self._exchange_of(http, api_token)

    def _exchange_of(self, http: requests.Session, api_token: str) -> str:
        realm = "provider" if self.provider else f"tenant/{quote(self.org, safe='')}"
        try:
            answer = http.post(
                f"{self.origin}/oauth/{realm}/token",
                data={"grant_type": "refresh_token", "refresh_token": api_token},
                headers={"Accept": f"application/json;version={self._api_version}"},
            )
            status = answer.status_code
            pause = retry_after.seconds_of(answer.headers.get("Retry-After"))
            body = answer.json() if status == 200 else {}
        except (requests.RequestException, ValueError) as error:
            raise error_of(error, "log in") from None
        if status in (400, 401, 403):
            raise NoRight(
                f"Cloud Director refused the API token of organization {self.org}",
                do="Make a new API token for the worker's user, or activate its service account anew, and "
                "put the token into its secret file",
            )
        if status in (404, 405, 406):
            raise Misconfigured(
                f"Cloud Director has no login by API token in API version {self._api_version}",
                do="Check the API version in the worker's configuration against those it serves",
            )
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token:
            message = f"Cloud Director gave no access token (it answered {status})"
            raise Unavailable(message, retry_after=pause if status in retry_after.STATUS else None)
        new = body.get("refresh_token")
        if isinstance(new, str) and new not in ("", api_token):
            self._api_token.replace(new)
        return token


class CloudDirectorSession(Client):  # type: ignore[misc]  # pyvcloud has no types
    """One thread's client."""

    def __init__(self, login: Login) -> None:
        self._login = login
        super().__init__(login.origin, api_version=login.api_version(), verify_ssl_certs=login.verify)
        self._session = login.http()
        self._is_sysadmin = login.provider
        self.used_token: str | None = None
        self.pause: float | None = None
        """Seconds that the last answer asked for."""
        self._queries: dict[tuple[str, str], str] | None = None

    def _get_default_logger(self, *args: Any, **kwargs: Any) -> None:
        """Any: pyvcloud's arguments. Its own version opens a log file in the working directory."""
        self._logger = logging.getLogger("pyvcloud")
        self._logger.setLevel(logging.WARNING)

    def get_query_list(self) -> Any:
        """Any: pyvcloud's objects. Its own version first asks for the session's links, at every login."""
        return self.get_resource(f"{self.get_api_uri()}/query")

    def _get_query_list_map(self) -> dict[tuple[str, str], str]:
        """Built whole, then published: pyvcloud's own stays empty for ever when its first read fails."""
        if self._queries is None:
            links = self.get_query_list().iterchildren("{*}Link")
            self._queries = {(link.get("type"), link.get("name")): link.get("href") for link in links}
        return self._queries

    def _do_request_prim(self, method: str, uri: str, session: Any, **kwargs: Any) -> requests.Response:
        """Any: pyvcloud's arguments. Adds our credentials, to our host only."""
        parts = urlsplit(uri)
        if f"{parts.scheme}://{parts.netloc}" != self._login.origin:
            raise Unreadable("a link in the answer names another host than the one configured")
        headers = dict(kwargs.pop("extra_headers", None) or {})
        # Cloud Director writes this id into its own, vCenter's and ESXi's logs.
        headers["X-VMWARE-VCLOUD-CLIENT-REQUEST-ID"] = f"partial-failover-{uuid.uuid4().hex}"
        self.pause = None
        if not uri.endswith("/api/versions"):
            self.used_token = self._login.token(session)
            headers["Authorization"] = f"Bearer {self.used_token}"
        answer: requests.Response = super()._do_request_prim(
            method, uri, session, extra_headers=headers, **kwargs
        )
        asked = answer.headers.get("Retry-After") if answer.status_code in retry_after.STATUS else None
        self.pause = retry_after.seconds_of(asked)
        is_xml = "xml" in answer.headers.get("Content-Type", "")
        if answer.status_code >= 400 and not is_xml:
            answer._content = b""  # pyvcloud would parse a proxy's HTML as XML and hide the status
        if is_xml and b"<!DOCTYPE" in answer.content:
            raise Unreadable("the answer has a DOCTYPE")
        return answer

    def ready(self) -> None:
        """Log in if need be, so that nothing slow stands between a check of the time and a send."""
        self.used_token = self._login.token(self._session)

    def renew(self) -> None:
        """Another access token, unless another thread has got one since."""
        self._login.token(self._session, stale=self.used_token)

    def fetch(self, path: str) -> etree._Element:
        """GET one XML resource below `/api/`, or by a link that Cloud Director gave."""
        answer = self.get_resource(self.address(path), objectify_results=False)
        if not isinstance(answer, etree._Element):
            raise Unreadable("the answer is empty")
        return answer

    def fetch_json(self, path: str, params: dict[str, str]) -> Any:
        """GET one page of the OpenAPI. Any: JSON."""
        answer = self._do_request_prim(
            "GET",
            f"{self.get_cloudapi_uri()}/{path}",
            self._session,
            accept_type="application/json",
            params=params,
        )
        if answer.status_code != 200:
            self._response_code_to_exception(answer.status_code, None, None)
        return answer.json()

    def address(self, path: str) -> str:
        """The full address of a path below `/api/`."""
        return path if path.startswith("https://") else f"{self.get_api_uri()}/{path}"

    def shut(self) -> None:
        """Close this thread's connection; the access token lives on."""
        self._session.close()
