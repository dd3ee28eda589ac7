"""The gate as it is rendered, between clients and the lab's Temporal server.

That has no TLS, so a second HAProxy stands before it as one with TLS would, and writes down what comes.
"""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client
from temporalio.service import TLSConfig

from lab.child import dies_with_parent
from lab.lab import Lab
from lab.ports import free_port, why_taken
from lab.tls import Authority
from partial_failover.cli import gate
from partial_failover.settings import ProviderWorkerSettings, load
from tests.deploy.commands import REPOSITORY, configured, output_of, tool, written
from tests.waiting import until

FRONTEND = """
global
    log stdout format raw local0 info
    crt-base {folder}
    ca-base {folder}
defaults
    mode http
    log global
    log-format "call %HPO %ST %[var(txn.names)] %[var(txn.token)]"
    timeout connect 3s
    timeout client 90s
    timeout server 90s
frontend temporal
    bind 127.0.0.1:{port} ssl crt frontend.pem verify required ca-file frontend-ca.pem alpn h2
    http-request set-var(txn.names) req.hdr_names
    http-request set-var(txn.token) req.hdr(authorization)
    default_backend temporal
backend temporal
    server temporal {temporal} proto h2
"""
"""Unlike the gate it asks for a certificate of the same authority, as Temporal can."""
AS_ROOT = ("user haproxy", "group haproxy", "chroot /var/lib/haproxy")
TOKEN = "token-of-a-person"
TENANT = "initech"


@dataclass(frozen=True)
class Credentials:
    """How somebody calls. `certificate`: a file with key and certificate."""

    port: int
    certificate: Path | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def rendered(file: Path) -> str:
    """What `partial-failover operate gate` prints."""
    settings = load(file)
    assert isinstance(settings, ProviderWorkerSettings)
    return gate.render(settings)


class Gate:
    """Both processes, with their certificates and logs in `folder`."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.frontend, self._processes = free_port(), list["subprocess.Popen[bytes]"]()
        self._issue()
        self.person = Credentials(free_port())
        self.worker = Credentials(free_port(), self._issued_to(TENANT))
        self.stranger = Credentials(self.worker.port, self._issued_to("umbrella"))
        self.foreign = Credentials(self.worker.port, self.folder / f"{TENANT}.pem")
        self.config = folder / "gate.cfg"
        self.config.write_text(self._rendered())

    def _issue(self) -> None:
        """The gate's and the frontend's certificates are of one authority, the workers' of another, which the
        manual's command makes."""
        authority = Authority(self.folder)
        for name in ("gate", "frontend", "client", TENANT):
            authority.server_context(name)
        (self.folder / "frontend-ca.pem").write_bytes(authority.ca_file.read_bytes())
        self._command("workers-ca.key", "acme")

    def _issued_to(self, namespace: str) -> Path:
        """A worker's key and certificate, as the manual's command makes them."""
        self._command("acme-worker.key", namespace)
        pair = self.folder / f"{namespace}-pair.pem"
        pair.touch(mode=0o600)
        pair.write_text(
            "".join((self.folder / f"{namespace}-worker.{e}").read_text() for e in ("key", "pem"))
        )
        return pair

    def _command(self, makes: str, namespace: str) -> None:
        manual = (REPOSITORY / "docs" / "operations.md").read_text().replace("\\\n", "")
        [command] = [
            c for c in re.findall(r"^ *(openssl .*)$", manual, re.MULTILINE) if f"-keyout {makes}" in c
        ]
        program, *words = shlex.split(command.replace("acme", namespace))
        output_of(tool(program), *words, folder=self.folder)

    def _rendered(self) -> str:
        data = configured(self.lab, "provider")
        data["gate"] = {
            "frontend": {"host": "127.0.0.1", "port": self.frontend},
            "server_name": "frontend",
            "client_certificate": True,
            "people_port": self.person.port,
            "workers_port": self.worker.port,
        }
        text = rendered(written(self.folder, data)).replace("/etc/haproxy/gate", str(self.folder))
        return "\n".join(line for line in text.split("\n") if line.strip() not in AS_ROOT)

    async def start(self) -> None:
        """Start both. They die with the thread that calls this."""
        tls = self.folder / "frontend.cfg"
        tls.write_text(
            FRONTEND.format(port=self.frontend, folder=self.folder, temporal=self.lab.temporal.address)
        )
        await self.run(tls, self.frontend)
        await self.run(self.config, self.person.port, self.worker.port)

    async def run(self, config: Path, *ports: int) -> None:
        """Start HAProxy with this file, and return when it listens there."""
        with config.with_suffix(".log").open("ab") as log:
            process = subprocess.Popen(  # noqa: ASYNC220  (returns at once)
                [tool("haproxy"), "-db", "-f", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=dies_with_parent(),
            )
        self._processes.append(process)
        await until(lambda: all(why_taken(port) for port in ports))

    async def changed(self, old: str, new: str) -> Credentials:
        """The gate once more with something else in its file; how people call it."""
        people, workers = free_port(), free_port()
        text = self.config.read_text()
        for here, there in (
            (old, new),
            (f":{self.person.port} ", f":{people} "),
            (f":{self.worker.port} ", f":{workers} "),
        ):
            assert here in text
            text = text.replace(here, there)
        config = self.folder / f"gate-{people}.cfg"
        config.write_text(text)
        await self.run(config, people, workers)
        return Credentials(people)

    def stop(self) -> None:
        """End both."""
        for process in self._processes:
            process.terminate()
            process.wait(10)

    async def client(self, caller: Credentials) -> Client:
        """As an SDK connects: with the first call, so refused is who is not let in."""
        pem = caller.certificate.read_bytes() if caller.certificate else None
        tls = TLSConfig(
            server_root_ca_cert=(self.folder / "ca.pem").read_bytes(),
            domain="gate",
            client_cert=pem,
            client_private_key=pem,
        )
        return await Client.connect(caller.address, namespace=TENANT, tls=tls, api_key=TOKEN)

    def environment(self, caller: Credentials) -> dict[str, str]:
        """The same for a process, by Temporal's own environment configuration; its address comes besides."""
        return {
            "TEMPORAL_ADDRESS": caller.address,
            "TEMPORAL_API_KEY": TOKEN,
            "TEMPORAL_TLS_SERVER_NAME": "gate",
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(self.folder / "ca.pem"),
            **({"TEMPORAL_TLS_CLIENT_CERT_PATH": str(caller.certificate)} if caller.certificate else {}),
            **({"TEMPORAL_TLS_CLIENT_KEY_PATH": str(caller.certificate)} if caller.certificate else {}),
        }

    def arrived(self) -> list[str]:
        """A line for each call that Temporal was sent: path, status, names of headers, token."""
        lines = (self.folder / "frontend.log").read_text().splitlines()
        return [line.removeprefix("call ") for line in lines if line.startswith("call ")]

    def seen(self) -> list[str]:
        """A line for each call that the gate was sent, when it has ended."""
        return (self.folder / "gate.log").read_text().splitlines()
