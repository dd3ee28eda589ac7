"""What can go wrong between this connector and Cloud Director, put into the product's own words."""

import logging

import requests
from lxml import etree
from pyvcloud.vcd.exceptions import SDKException, VcdResponseException
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from partial_failover.contracts.errors import (
    BadRequest,
    Busy,
    FailoverError,
    Misconfigured,
    NoRight,
    NotFound,
    Unavailable,
)

log = logging.getLogger(__name__)

TRY_LATER = "Nothing to do: it is tried again"
TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_QUOTE = 300
"""Characters of Cloud Director's own words that are passed on."""

LIBRARY_ERRORS = (
    SDKException,
    requests.RequestException,
    HTTPError,
    etree.LxmlError,
    ValueError,
    AttributeError,
    KeyError,
    TypeError,
    OSError,
)
"""pyvcloud raises AttributeError and the like on bodies that it did not expect."""


class Unreadable(ValueError):
    """An answer that is not what it should be: no XML, a DOCTYPE, another host's link, a part missing."""


class Lost(Exception):
    """A mutation may or may not have been carried out: only looking tells.

    `refused`: a proxy or cell answered that it could not, so it most likely was not.
    """

    def __init__(self, happened: str, *, refused: bool = False, retry_after: float | None = None) -> None:
        super().__init__(happened)
        self.refused = refused
        self.retry_after = retry_after


def status_of(error: Exception) -> int | None:
    """The HTTP status that the error came with, if an answer came at all."""
    return int(error.status_code) if isinstance(error, VcdResponseException) else None


def is_worth_a_second_read(error: Exception) -> bool:
    """Whether a GET may be tried once more at once. Not after a read timeout: that one has waited already."""
    if isinstance(error, requests.exceptions.SSLError) or _waited(error):
        return False
    return isinstance(error, requests.ConnectionError) or status_of(error) in TRANSIENT_STATUS


def _waited(error: Exception) -> bool:
    """Whether time ran out; in the middle of an answer's body `requests` calls that a broken connection."""
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.Timeout | TimeoutError) or isinstance(cause, ReadTimeoutError)


def _was_never_sent(error: Exception) -> bool:
    """A connection that was never made carried no request."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _quote(error: Exception) -> str:
    """Cloud Director's own message, on one line and short; its error body never holds credentials."""
    body = getattr(error, "vcd_error", None)
    message = body.get("message") if body is not None and hasattr(body, "get") else None
    printable = "".join(c if c.isprintable() else " " for c in message or "no reason given")
    return " ".join(printable.split())[:LONGEST_QUOTE]


def minor_code(error: Exception) -> str | None:
    """`minorErrorCode` of the error body."""
    body = getattr(error, "vcd_error", None)
    return body.get("minorErrorCode") if body is not None and hasattr(body, "get") else None


def error_of(
    error: Exception, doing: str, missing: str | None = None, pause: float | None = None
) -> FailoverError:
    """The product's error for a library's. `missing`: what to say where 403 and 404 mean "not there".
    `pause`: seconds that Cloud Director asked for.

    Cloud Director answers 403, not 404, for an id that does not exist.
    """
    log.debug("Cloud Director: could not %s", doing, exc_info=error)
    if isinstance(error, FailoverError):
        return error
    status = status_of(error)
    if status is not None:
        answered = _error_of_answer(error, status, doing, missing)
        answered.retry_after = pause
        return answered
    if isinstance(error, requests.exceptions.SSLError):
        return Misconfigured(
            f"Cloud Director's certificate was not accepted while trying to {doing}",
            do="Check the address and the CA file in the worker's configuration",
        )
    if isinstance(error, requests.TooManyRedirects):
        return Misconfigured(
            f"Cloud Director redirected the call to {doing}", do="Configure its own address, not a portal's"
        )
    if _waited(error):
        return Unavailable(f"Cloud Director did not answer in time when asked to {doing}", do=TRY_LATER)
    reached_us = isinstance(error, requests.exceptions.InvalidJSONError | Unreadable)
    if isinstance(error, requests.RequestException | HTTPError | OSError) and not reached_us:
        return Unavailable(f"Cloud Director could not be reached to {doing}", do=TRY_LATER)
    return Unavailable(f"Cloud Director's answer could not be read when asked to {doing}", do=TRY_LATER)


def _error_of_answer(error: Exception, status: int, doing: str, missing: str | None) -> FailoverError:
    text = f"Cloud Director answered {status} when asked to {doing}: {_quote(error)}"
    if status == 400 and minor_code(error) == "BUSY_ENTITY":
        return Busy(f"Something else is running in Cloud Director, so it did not {doing}", do=TRY_LATER)
    if status == 400:
        return BadRequest(text, left="Nothing was changed by this call")
    if status == 401:
        return NoRight(
            f"Cloud Director refused the credentials when asked to {doing}",
            do="Give the worker a valid API token of the provider",
        )
    if status in (403, 404) and missing is not None:
        return NotFound(missing)
    if status == 403:
        return NoRight(text, do="Give the role of the API token's user the right that is named")
    if status == 404:
        return NotFound(text)
    if status in (405, 406, 415):
        return Misconfigured(text, do="Check the API version in the worker's configuration")
    if status == 409:
        return Busy(text, do=TRY_LATER)
    return Unavailable(f"Cloud Director answered {status} when asked to {doing}", do=TRY_LATER)


def error_of_send(error: Exception, doing: str, pause: float | None = None) -> FailoverError | Lost:
    """As `error_of`, for a mutation: whatever leaves its outcome open is `Lost`."""
    status = status_of(error)
    if status is not None:
        if status == 429:  # too many requests: none of it was done
            return error_of(error, doing, pause=pause)
        if status in TRANSIENT_STATUS:
            return Lost(f"Cloud Director answered {status}", refused=status == 503, retry_after=pause)
        return error_of(error, doing)
    if isinstance(error, FailoverError):
        return error
    if isinstance(error, requests.RequestException) and _was_never_sent(error):
        return error_of(error, doing)
    log.debug("Cloud Director: reply lost, trying to %s", doing, exc_info=error)
    return Lost("The connection broke or the answer could not be read")
