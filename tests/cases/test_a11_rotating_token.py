"""The API token of a service account is another after each use."""

import errno
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from partial_failover.connectors.cloud_director import CloudDirector
from partial_failover.contracts.errors import Misconfigured, NoRight
from tests.connectors.cloud_director.conftest import authority, quick, site
from tests.connectors.cloud_director.site import Site

__all__ = ["authority", "quick", "site"]


def client(site: Site, token: str | Path) -> CloudDirector:
    made = CloudDirector(site.endpoint.url, token, site.ca_file)
    site.clients.append(made)
    return made


@pytest.fixture
def file(site: Site, tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(site.endpoint.api_token("service", rotates=True) + "\n")
    file.chmod(0o600)
    return file


def test_a11_the_new_token_is_kept(site: Site, file: Path) -> None:
    first = file.read_text()
    own = client(site, file)
    for _ in range(3):
        own.check()
        site.endpoint.expire_sessions()
    client(site, file).check()
    assert file.read_text() != first and file.stat().st_mode & 0o777 == 0o600
    assert site.endpoint.world.api_tokens.keys() == {file.read_text().strip()}
    assert [entry.name for entry in file.parent.iterdir()] == ["token"]


def test_a11_the_worker_and_a_check_do_not_use_up_each_other_s_token(site: Site, file: Path) -> None:
    clients = [client(site, file) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for said in threads.map(CloudDirector.check, clients):
            assert "logged in as service" in said
    assert site.endpoint.world.api_tokens.keys() == {file.read_text().strip()}


def test_a11_one_that_cannot_be_kept_is_refused_with_what_to_do(site: Site) -> None:
    own = client(site, site.endpoint.api_token("service", rotates=True))
    with pytest.raises(Misconfigured, match=r"used up by this login\. Activate the service account anew"):
        own.check()
    with pytest.raises(NoRight, match="activate its service account anew"):
        own.check()


def test_a11_a_file_that_cannot_be_written_is_said(
    site: Site, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:  # a chmod does not keep root from it
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "mkstemp", read_only)
    with pytest.raises(Misconfigured, match=f"{file} cannot be written"):
        client(site, file).check()


def test_a11_a_user_s_token_stays_as_it_is(site: Site, file: Path) -> None:
    file.write_text(site.endpoint.api_token("operator"))
    before = file.stat()
    client(site, file).check()
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_a11_an_empty_file_is_said(site: Site, file: Path) -> None:
    file.write_text("")
    with pytest.raises(Misconfigured, match="cannot be read from the file"):
        client(site, file).check()
