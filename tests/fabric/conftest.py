"""A whole site in real namespaces, built once for the tests of one file."""

from collections.abc import Iterator

import pytest

from lab.fabric.fabric import Fabric
from tests.fabric.site import Site, build

MISSING = Fabric.missing()
needs_root = pytest.mark.skipif(
    bool(MISSING), reason=f"no real data plane here, missing: {', '.join(MISSING)}"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    built = build(tmp_path_factory.mktemp("fabric"))
    yield built
    built.fabric.close()
