"""Process 1 of the sandbox: private network, mount and PID namespaces that hold the whole data plane.

Takes requests as JSON messages on a socket that it inherits, and ends, with all that it ever started, when
the other end is closed: also when the lab was killed.
"""

import array
import asyncio
import ctypes
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any  # JSON values of the lab's own protocol

from lab.fabric import mounts
from lab.fabric.topology import Topology, Wire

LONGEST_MESSAGE = 1 << 17
LONGEST_OUTPUT = 60_000
_NEW_NETWORK = 0x40000000
log = logging.getLogger(__name__)


class Sandbox:
    """Carries out the lab's requests, one change at a time; commands inside nodes run side by side."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.topology = Topology()
        self.changing = asyncio.Lock()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.gone = asyncio.Event()

    async def run(self) -> None:
        """Until the lab closes its end."""
        self.control.setblocking(False)
        asyncio.get_running_loop().add_reader(self.control, self._read)
        await self.gone.wait()

    def _read(self) -> None:
        try:
            data, handles = _receive(self.control)
        except BlockingIOError:
            return
        except OSError:
            data, handles = b"", []
        if not data:
            self.gone.set()
            return
        self._spawn(self._answer(json.loads(data), handles))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, request: dict[str, Any], handles: list[int]) -> None:
        number, op = request.pop("number"), request.pop("op")
        result: Any = None
        try:
            if op == "exec":
                result = await self._exec(**request)
            elif op == "forward":
                await self._forward(handles[0], **request)
            else:
                async with self.changing:
                    result = await asyncio.to_thread(getattr(self, f"_{op}"), **request)
            answer = {"number": number, "result": result}
        except Exception as error:
            log.exception("%s failed", op)
            answer = {"number": number, "error": f"{type(error).__name__}: {error}"[:2000]}
        self.control.setblocking(True)
        self.control.send(json.dumps(answer).encode())
        self.control.setblocking(False)

    def _network(self, key: str) -> None:
        self.topology.network(key)

    def _join(self, one: str, other: str) -> None:
        self.topology.join(one, other)

    def _boot(self, name: str, wires: list[Wire], forward: bool = False) -> None:
        self.topology.boot(name, wires, forward)

    def _rewire(self, name: str, wires: list[Wire]) -> None:
        self.topology.rewire(name, wires)

    def _carrier(self, name: str, up: bool) -> None:
        self.topology.carrier(name, up)

    def _halt(self, name: str) -> None:
        self.topology.halt(name)

    def _appliance(self, name: str, wires: list[Wire], disk: str, console: str) -> None:
        """Boot a node, and a machine of its own mounts and processes in it."""
        node = self.topology.boot(name, wires)
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable]
        argv += ["-m", "lab.fabric.machine", disk]
        node.process, node.machine = _start(node.namespace, argv, Path(console)), True

    def _gateway(self, name: str, wires: list[Wire], config: str, console: str) -> None:
        """A cloud gateway: HAProxy with one listening address for each tenant."""
        node = self.topology.boot(name, wires)
        file = _haproxy_file(node.namespace)
        file.write_text(config)
        # -W: a master process that ends with its workers, and reloads its file at SIGUSR2.
        node.process = _start(node.namespace, ["haproxy", "-W", "-db", "-f", str(file)], Path(console))

    def _reload_gateway(self, name: str, config: str) -> None:
        node = self.topology.nodes[name]
        _haproxy_file(node.namespace).write_text(config)
        assert node.process is not None
        node.process.send_signal(signal.SIGUSR2)

    async def _exec(self, name: str, argv: list[str], timeout: float) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *self.topology.enter(name),
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), timeout)
        except TimeoutError:
            process.kill()
            await process.wait()
            return 124, "it took longer than it may"
        return process.returncode or 0, output.decode(errors="replace")[:LONGEST_OUTPUT]

    async def _forward(self, listener: int, name: str, via: str, address: str, port: int) -> None:
        """Whoever connects to the lab's listening socket is connected on to the node `name`, from inside of
        the node `via`."""

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if name not in self.topology.nodes:
                    raise ConnectionRefusedError(name)  # it is off; a connection would only time out
                inner = _socket_in(self.topology.nodes[via].namespace)
                loop = asyncio.get_running_loop()
                await asyncio.wait_for(loop.sock_connect(inner, (address, port)), 3)
                there, here = await asyncio.open_connection(sock=inner)
            except (OSError, KeyError, TimeoutError):
                writer.transport.abort()
                return
            await asyncio.gather(_copy(reader, here), _copy(there, writer))

        server = await asyncio.start_server(relay, sock=socket.socket(fileno=listener))
        self._spawn(server.serve_forever())


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except OSError:
        pass
    finally:
        target.close()


def _socket_in(namespace: str) -> socket.socket:
    """A TCP socket of another network namespace. No other thread may be in between: setns is per thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    own, other = (
        os.open("/proc/thread-self/ns/net", os.O_RDONLY),
        os.open(f"/run/netns/{namespace}", os.O_RDONLY),
    )
    try:
        if libc.setns(other, _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        finally:
            libc.setns(own, _NEW_NETWORK)
    finally:
        os.close(own)
        os.close(other)
    made.setblocking(False)
    return made


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    space = socket.CMSG_LEN(array.array("i").itemsize)
    data, extra, _, _ = control.recvmsg(LONGEST_MESSAGE, space, socket.MSG_CMSG_CLOEXEC)
    handles = array.array("i")
    for _, _, part in extra:
        handles.frombytes(part)
    return data, list(handles)


def _start(namespace: str, argv: list[str], console: Path) -> subprocess.Popen[bytes]:
    with console.open("ab") as output:
        return subprocess.Popen(
            ["ip", "netns", "exec", namespace, *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _haproxy_file(namespace: str) -> Path:
    return Path(f"/run/{namespace}.haproxy")


async def _main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    mounts.tmpfs(Path("/run"))
    Path("/run/netns").mkdir()
    await Sandbox(control).run()
    os._exit(0)  # process 1: the kernel ends all others


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(_main())
