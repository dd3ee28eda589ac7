"""One Cloud Director for each test."""

from collections.abc import Iterator

import pytest

from lab.tls import Authority
from tests.lab.cloud_director.site import Site, running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def site(authority: Authority) -> Iterator[Site]:
    with running(authority) as made:
        yield made
