"""One of it for each test."""

from collections.abc import Iterator

import pytest

from lab.tls import Authority
from tests.connectors.vsphere.world import World, make_world


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(authority: Authority) -> Iterator[World]:
    with make_world(authority) as made:
        yield made
