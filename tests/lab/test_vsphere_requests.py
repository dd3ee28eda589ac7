"""What the lab's vCenter takes as a request at all, byte by byte: path, content type, order of elements."""

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection

import pytest

from lab.tls import Authority
from tests.connectors.vsphere.world import ADMIN, PASSWORD, World, make_world

CONTENT = '<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this>'
LOGIN = '<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this>'
NAME = f"<userName>{ADMIN}</userName>"
WORD = f"<password>{PASSWORD.replace('&', '&amp;').replace('<', '&lt;')}</password>"
READ = '<RetrieveProperties xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this>'
KIND, PATH = "<type>ServiceInstance</type>", "<pathSet>content</pathSet>"
ROOT = '<objectSet><obj type="ServiceInstance">ServiceInstance</obj></objectSet>'
XML = "text/xml; charset=utf-8"


@dataclass
class Wire:
    """One connection to the vCenter of a world."""

    world: World
    connection: HTTPSConnection

    def send(
        self, call: str, method: str = "POST", path: str = "/sdk", kind: str = XML, chunks: int = 0
    ) -> tuple[int, str]:
        """Status and body of the answer to a call, of which only the end tag is left out."""
        name = call[1 : call.index(" ")]
        text = (
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
            f"{call}</{name}></e:Body></e:Envelope>"
        ).encode()
        headers = {"SOAPAction": '"urn:vim25/8.0.3.0"', "Content-Type": kind}
        pieces = [text[i : i + chunks] for i in range(0, len(text), chunks)] if chunks else []
        body = iter(pieces) if pieces else text
        self.connection.request(method, path, body, headers, encode_chunked=bool(pieces))
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()

    def refusal(self, call: str) -> str:
        """What an `InvalidRequest` says."""
        status, body = self.send(call)
        assert status == 500
        assert "InvalidRequestFault" in body
        (text,) = re.findall("<faultstring>(.*)</faultstring>", body)
        return str(text)


@pytest.fixture
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    with make_world(authority) as world:
        connection = HTTPSConnection("127.0.0.1", world.endpoint.port, context=trust, timeout=10)
        yield Wire(world, connection)
        connection.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/sdk", 200), ("/sdk/vimService", 200), ("/other", 404), ("/", 404), ("/sdk/other", 404)],
)
def test_a_call_in_chunks_is_answered_on_the_right_path_only(wire: Wire, path: str, status: int) -> None:
    assert wire.send(CONTENT, path=path, chunks=99)[0] == status


@pytest.mark.parametrize("kind", ["application/json", "application/soap+xml", "text/plain", ""])
def test_a_call_of_another_content_type_is_refused(wire: Wire, kind: str) -> None:
    assert wire.send(CONTENT, kind=kind)[0] == 415
    assert wire.send(CONTENT)[0] == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_calls_are_posts(wire: Wire, method: str) -> None:
    assert wire.send(CONTENT, method)[0] == 405


def test_parameters_come_in_their_order_each_once_and_all_of_them(wire: Wire) -> None:
    assert 'tag "userName"' in wire.refusal(LOGIN + WORD + NAME)
    assert 'tag "userName"' in wire.refusal(LOGIN + NAME + NAME + WORD)
    assert 'tag "userName"' in wire.refusal(LOGIN.replace("<_this", NAME + "<_this") + WORD)
    assert 'tag "pin"' in wire.refusal(LOGIN + NAME + WORD + "<pin>1</pin>")
    assert "password is missing" in wire.refusal(LOGIN + NAME)
    assert wire.world.endpoint.sessions.count() == 0
    assert wire.send(LOGIN + NAME + WORD)[0] == 200
    assert wire.world.endpoint.sessions.count() == 1


def test_members_of_data_objects_come_in_their_order(wire: Wire) -> None:
    right = f"<specSet><propSet>{KIND}{PATH}{PATH}</propSet>{ROOT}{ROOT}</specSet>"
    assert wire.send(READ + right)[0] == 200
    assert 'tag "type"' in wire.refusal(READ + right.replace(KIND + PATH, PATH + KIND))
    assert 'tag "propSet"' in wire.refusal(READ + f"<specSet>{ROOT}<propSet>{KIND}{PATH}</propSet></specSet>")
    assert 'tag "type"' in wire.refusal(READ + right.replace(KIND, KIND + KIND))
