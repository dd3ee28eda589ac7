"""A call over the network that ends in time as a whole.

A socket's timeout is for one wait. A server that sends one byte every half second never lets it pass, and
holds the thread for as long as it likes. Here a thread has a deadline, and each wait on a socket gets what
is left of it.
"""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any


class _Thread(threading.local):
    end: float | None = None


_thread = _Thread()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What this thread sends and receives in here over TLS of `bounded` contexts ends within so many seconds,
    all of it together; then it meets `TimeoutError`. Inside of another one the earlier end counts.

    A connection is made within its own timeout, for each address of the name; `seconds_left` is for that.
    """
    before = _thread.end
    end = monotonic() + seconds
    _thread.end = end if before is None else min(end, before)
    try:
        yield
    finally:
        _thread.end = before


def seconds_left(otherwise: float) -> float:
    """Of this thread's deadline, never negative and never more than `otherwise`, which is for no deadline."""
    return otherwise if _thread.end is None else min(otherwise, max(0.0, _thread.end - monotonic()))


def bounded(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context; the connections that it wraps keep to the deadline of the thread that uses them."""
    context.sslsocket_class = _BoundedSocket
    return context


class _BoundedSocket(ssl.SSLSocket):
    """Any in its methods: what `ssl` passes on to itself. All ways of receiving end in `read`, all ways of
    sending in `send`; OpenSSL's own rounds in one of them keep to the socket's timeout as a whole."""

    def read(self, *args: Any, **kwargs: Any) -> Any:
        with _what_is_left(self):
            return super().read(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        with _what_is_left(self):
            return super().send(*args, **kwargs)

    def do_handshake(self, block: bool = False) -> None:
        with _what_is_left(self):
            super().do_handshake(block)


@contextmanager
def _what_is_left(connection: socket.socket) -> Iterator[None]:
    """The connection's own timeout comes back: it may be another thread's next."""
    if _thread.end is None:
        yield
        return
    own = connection.gettimeout()
    left = _thread.end - monotonic()
    if left <= 0:
        raise TimeoutError("the time of the whole call is over")
    connection.settimeout(left if own is None else min(own, left))
    try:
        yield
    finally:
        if connection.fileno() != -1:
            connection.settimeout(own)
