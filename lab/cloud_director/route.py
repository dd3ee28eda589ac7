"""One request, one answer, and the row of a table that leads from one to the other."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from lab.cloud_director.model import ApiError, Principal


@dataclass(frozen=True)
class Asked:
    """One request. `who` is None where no login is needed; `groups`: of its path."""

    who: Principal
    token: str
    groups: dict[str, str]
    query: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """One answer: XML, JSON, or neither."""

    status: int = 200
    xml: etree._Element | None = None
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """`name` is what the call goes by in faults and in the audit; `takes`: the media type of its body."""

    name: str
    method: str
    path: re.Pattern[str]
    do: Callable[[Asked], Answer]
    takes: str = ""
    public: bool = False


NOBODY = Principal("", "", frozenset())


def route(
    name: str, path: str, do: Callable[[Asked], Answer], takes: str = "", public: bool = False
) -> Route:
    """The method is the first word of the name."""
    return Route(name, name.split()[0], re.compile(path), do, takes, public)


def refuse_media(route: Route, media: str) -> None:
    """A body of another type than the operation takes. The status is documented, the words are inferred."""
    if not route.takes:
        raise ApiError(400, "BAD_REQUEST", f"{route.name} takes no body")
    if media.partition(";")[0].strip().lower() != route.takes.lower():
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", f"HTTP 415 Unsupported Media Type {media}")
