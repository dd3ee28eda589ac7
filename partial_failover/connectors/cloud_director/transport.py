"""Reads and single sends, from any thread, with the library's errors turned into the product's."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import requests
from lxml import etree
from pyvcloud.vcd.client import QueryResultFormat

from partial_failover.connectors.cloud_director.errors import (
    LIBRARY_ERRORS,
    Unreadable,
    error_of,
    error_of_send,
    is_worth_a_second_read,
    status_of,
)
from partial_failover.connectors.cloud_director.session import CloudDirectorSession, Login, served_versions
from partial_failover.connectors.retry_after import rested
from partial_failover.connectors.whole_call import seconds_left, within

log = logging.getLogger(__name__)
T = TypeVar("T")

PAGE_SIZE = 128
"""The most that Cloud Director gives at once."""
MOST_PAGES = 1000
READ_PATIENCE = 60.0
"""Seconds that a read outside of a change has."""


@dataclass(frozen=True)
class HttpRequest:
    """One mutation that is ready to be sent. `what` completes "could not …"."""

    what: str
    method: Literal["POST", "PUT", "DELETE"]
    path: str
    body: etree._Element | None = None
    media_type: str | None = None


class Transport:
    """One principal's way to one Cloud Director."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._local = threading.local()
        self._sessions: list[CloudDirectorSession] = []
        self._lock = threading.Lock()

    def _session(self) -> CloudDirectorSession:
        session: CloudDirectorSession | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = CloudDirectorSession(self.login)
            with self._lock:
                self._sessions.append(session)
        return session

    def _read(self, call: Callable[[CloudDirectorSession], T], doing: str, missing: str | None = None) -> T:
        """Reads are tried twice: after a login that has expired, after a hiccup of the network, and after a
        short pause that Cloud Director asks for."""
        session, whole = self._session(), self.login.whole_call
        try:
            with within(whole):
                return call(session)
        except LIBRARY_ERRORS as error:
            first = error
        try:
            if status_of(first) == 401:
                session.renew()
            elif session.pause is not None and not rested(session.pause, seconds_left(READ_PATIENCE)):
                raise error_of(first, doing, missing, session.pause) from None
            elif session.pause is None and is_worth_a_second_read(first):
                time.sleep(0.2)
            elif session.pause is None:
                raise error_of(first, doing, missing) from None
            with within(whole):
                return call(session)
        except LIBRARY_ERRORS as second:
            raise error_of(second, doing, missing, session.pause) from None

    def versions(self) -> dict[str, bool]:
        """API versions that are served, and whether each is deprecated. Needs no login."""

        return self._read(lambda session: served_versions(session.fetch("versions")), "name its API versions")

    def get(self, path: str, doing: str, missing: str | None = None) -> etree._Element:
        """One XML resource, fresh."""
        return self._read(lambda session: session.fetch(path), doing, missing)

    def query(self, kind: str, expression: str, doing: str) -> list[etree._Element]:
        """All records of a typed query. `expression` must be encoded already."""

        def call(session: CloudDirectorSession) -> list[etree._Element]:
            query = session.get_typed_query(
                kind,
                query_result_format=QueryResultFormat.RECORDS,
                page_size=PAGE_SIZE,
                qfilter=expression,
            )
            return list(query.execute())

        return self._read(call, doing)

    def json(self, path: str, doing: str) -> Any:
        """One resource of the OpenAPI. Any: JSON."""
        return self._read(lambda session: session.fetch_json(path, {}), doing)

    def pages(self, path: str, params: dict[str, str], doing: str) -> list[Any]:
        """All `values` of a paged OpenAPI collection. Any: JSON."""
        values: list[Any] = []
        for page in range(1, MOST_PAGES):
            wanted = {**params, "page": str(page), "pageSize": str(PAGE_SIZE)}
            body = self._read(lambda session, w=wanted: _page(session, path, w), doing)  # type: ignore[misc]
            values += body["values"]
            if page >= body["pageCount"]:
                break
        return values

    def send(self, request: HttpRequest, may_send: Callable[[], None]) -> etree._Element | None:
        """Send one mutation; `may_send` is asked right before. Raises `FailoverError` or `Lost`.

        Sent a second time only after 401: then Cloud Director has carried out nothing.
        """
        session, whole = self._session(), self.login.whole_call
        try:
            with within(whole):
                return self._send(session, request, may_send)
        except LIBRARY_ERRORS as error:
            if status_of(error) != 401:
                raise error_of_send(error, request.what, session.pause) from None
        try:
            with within(whole):
                session.renew()
                return self._send(session, request, may_send)
        except LIBRARY_ERRORS as error:
            raise error_of_send(error, request.what, session.pause) from None

    @staticmethod
    def _send(
        session: CloudDirectorSession, request: HttpRequest, may_send: Callable[[], None]
    ) -> etree._Element | None:
        address = session.address(request.path)
        session.ready()
        may_send()
        answer: etree._Element | None
        if request.method == "POST":
            answer = session.post_resource(address, request.body, request.media_type, objectify_results=False)
        elif request.method == "PUT":
            answer = session.put_resource(address, request.body, request.media_type, objectify_results=False)
        else:
            answer = session.delete_resource(address)
        return answer

    def close(self) -> None:
        """End the session at Cloud Director and close all connections. Never raises."""
        token = self.login.forget()
        with self._lock:
            sessions, self._sessions = self._sessions, []
        self._local = threading.local()
        for session in sessions:
            session.shut()
        if token is None:
            return
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": f"application/json;version={self.login.api_version()}",
        }
        try:
            with within(self.login.whole_call), self.login.http() as http:
                # pyvcloud's own logout calls what API 38.0 has removed.
                http.delete(f"{self.login.origin}/cloudapi/1.0.0/sessions/current", headers=headers)
        except requests.RequestException:
            log.info("Could not log out of Cloud Director; the session ends by itself")


def _page(session: CloudDirectorSession, path: str, params: dict[str, str]) -> dict[str, Any]:
    body = session.fetch_json(path, params)
    if not isinstance(body, dict) or not isinstance(body.get("values"), list):
        raise Unreadable("a page of a collection has no values")
    if not isinstance(body.get("pageCount"), int):
        raise Unreadable("a page of a collection has no page count")
    return body
