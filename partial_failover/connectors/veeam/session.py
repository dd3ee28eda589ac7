"""One account's session with a backup server: tokens, lists, and the one place that sends mutations."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from time import monotonic

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.retry_after import AT_ONCE
from partial_failover.connectors.veeam.answers import Page, Token
from partial_failover.connectors.veeam.transport import HttpRequest, Reply, Transport
from partial_failover.contracts.errors import (
    BadRequest,
    FailoverError,
    Misconfigured,
    NoRight,
    NotFound,
    OutcomeUnknown,
    Unavailable,
)

PAGE = 200
MOST_PAGES = 500
LARGEST_LIST = 64 * 1024 * 1024
"""Bytes of all its pages."""
EARLY = 30.0
"""Seconds before its end at which a token is renewed."""
REFUSED_FOR = 30.0
"""Seconds for which a refused log-in is not tried again: a wrong password must not lock the account."""


class VeeamSession:
    """Logs in on first use and renews its tokens by itself."""

    def __init__(self, transport: Transport, username: str, password: str, version: str) -> None:
        self._transport = transport
        self._username = username
        self._password = password
        self._version = version
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._renew_at = 0.0
        self._refused_until = 0.0

    async def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Reply:
        """Read."""
        return await self._exchange(HttpRequest("GET", path, query))

    async def pages(self, path: str, query: Mapping[str, str | int] | None = None) -> list[object]:
        """All items of a list."""
        items: list[object] = []
        size = 0
        for _ in range(MOST_PAGES):
            wanted = {**(query or {}), "skip": len(items), "limit": PAGE}
            reply = await self.get(path, wanted)
            page, size = reply.read(Page), size + len(reply.body)
            items.extend(page.data)
            if size > LARGEST_LIST:
                break
            if not page.data or len(items) >= page.pagination.total:
                return items
        raise Unavailable(f"The backup server's list {path} did not end after {len(items)} entries")

    async def change(
        self, attempt: Attempt, mutation: str, request: HttpRequest, intent: str | None = None
    ) -> None:
        """Send a mutation, once. `intent` is heartbeat right before it.

        Raises `OutcomeUnknown` where it may have had its effect although no good answer came. What it did is
        read back by the caller, so that there is one way to find out and not two.
        """

        def before() -> None:
            attempt.check(mutation)
            if intent is not None:
                attempt.started(intent)

        await self._exchange(request, before)

    async def close(self) -> None:
        """Log out, as far as the server can be reached, and close the connections."""
        async with self._lock:
            token, self._token = self._token, None
            if token is not None:
                with contextlib.suppress(FailoverError):
                    await self._transport.send(HttpRequest("POST", "/api/oauth2/logout"), token.access_token)
            await self._transport.close()

    async def _exchange(self, request: HttpRequest, before: Callable[[], None] = lambda: None) -> Reply:
        token = await self._access(None)
        await asyncio.to_thread(before)
        reply = await self._transport.send(request, token.access_token)
        if reply.status == 401:
            # Refused before it was accepted, so sending it again is safe, also for a mutation.
            token = await self._access(token)
            await asyncio.to_thread(before)
            reply = await self._transport.send(request, token.access_token)
        if (
            reply.pause is not None
            and reply.pause <= AT_ONCE
            and (request.method == "GET" or reply.status == 429)
        ):
            await asyncio.sleep(reply.pause)  # 429: none of it was done
            await asyncio.to_thread(before)
            reply = await self._transport.send(request, token.access_token)
        if reply.status >= 300:
            raise self._refusal(request, reply)
        return reply

    async def _access(self, refused: Token | None) -> Token:
        """A token other than `refused`. One log-in at a time: a refresh token can be used only once."""
        async with self._lock:
            token = self._token
            if token is not None and token is not refused and monotonic() < self._renew_at:
                return token
            self._token = None
            renewed = await self._renew(token) if token is not None else None
            self._token = renewed or await self._log_in()
            lasts = self._token.expires_in
            self._renew_at = monotonic() + lasts - min(EARLY, lasts / 2)
            return self._token

    async def _renew(self, token: Token) -> Token | None:
        form = {"grant_type": self._word("Refresh_token"), "refresh_token": token.refresh_token}
        reply = await self._transport.send(HttpRequest("POST", "/api/oauth2/token", form=form))
        return reply.read(Token) if reply.status == 200 else None

    async def _log_in(self) -> Token:
        refused = NoRight(
            f"The backup server {self._transport.url} refused the log-in of {self._username}",
            left="Nothing was changed",
            do="Check user name and password; accounts with multi-factor authentication cannot use the API",
        )
        if monotonic() < self._refused_until:
            raise refused
        form = {
            "grant_type": self._word("Password"),
            "username": self._username,
            "password": self._password,
        }
        request = HttpRequest("POST", "/api/oauth2/token", form=form)
        reply = await self._transport.send(request)
        if reply.status == 200:
            return reply.read(Token)
        if reply.status in (400, 401, 403) and not _about_version(reply):
            self._refused_until = monotonic() + REFUSED_FOR
            raise refused
        raise self._refusal(request, reply)

    def _word(self, word: str) -> str:
        """Enum values that are sent: the schema capitalises them from 1.3-rev1 on."""
        return word.lower() if self._version == "1.3-rev0" else word

    def _refusal(self, request: HttpRequest, reply: Reply) -> FailoverError:
        call = f"{request.method} {request.path}"
        text = f"The backup server {self._transport.url} refused {call}: {reply.says()}"
        left = "Nothing was changed"
        if _about_version(reply):
            return Misconfigured(text, left=left, do="Set the API version to one that the server supports")
        if reply.status in (401, 403):
            do = f"Give {self._username} the role Veeam Backup Administrator, which holds and releases need"
            return NoRight(text, left=left, do=do)
        if reply.status == 404:
            return NotFound(text, left=left)
        if reply.status == 400:
            return BadRequest(text, left=left)
        if reply.status in (429, 503):
            return Unavailable(text, left=left, retry_after=reply.pause)
        if reply.status < 500 or reply.status == 501:
            return Misconfigured(text, left=left, do="Check URL and API version of the backup server")
        failed = f"The backup server {self._transport.url} failed at {call}: {reply.says()}"
        return OutcomeUnknown(failed) if request.mutates else Unavailable(failed)


def _about_version(reply: Reply) -> bool:
    return reply.status == 400 and "restapi version" in reply.says().lower()
