"""Make the kernel match what the appliance was told: only differences, only what is the appliance's own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar  # Any: JSON of iproute2

from appliance.command import run
from appliance.errors import Refusal
from appliance.kernel import (
    FIREWALL,
    GENERAL,
    NAMESPACE,
    PROTOCOL,
    TUNNEL,
    Desired,
    Proxy,
    Route,
    Rule,
    desired,
    firewall,
)
from appliance.model import interface_name
from appliance.state import State

Entry = TypeVar("Entry", Route, Rule, Proxy)
INSIDE = ["ip", "netns", "exec", NAMESPACE]


@dataclass(frozen=True)
class Applied:
    """`changed`: how many changes were made. `effective`: what the kernel answers ARP for from now on."""

    changed: int
    effective: tuple[Proxy, ...]


def apply(state: State) -> Applied:
    """Call it with the state's lock held. The firewall comes first, so nothing is ever open by accident."""
    management = _management_nic(state.management)
    changed = _namespace()
    changed += _firewall(firewall(state.role, (), {}), state.runtime) if changed else 0
    changed += _settings(GENERAL)
    changed += _adopt(management)
    want = desired(state.role, state.networks(), state.leases().values(), devices())
    changed += _firewall(want.firewall, state.runtime)
    changed += _settings(want.settings)
    changed += _addresses(want.addresses)
    routes, rules, proxies = _routes(), _rules(), _proxies()
    _batch("route", want.routes, routes)
    _batch("rule", want.rules, rules)
    _batch("neigh", want.proxies, proxies)
    changed += len(want.routes ^ routes) + len(want.rules ^ rules) + len(want.proxies ^ proxies)
    return Applied(changed, _effective(want, routes, proxies))


def devices() -> frozenset[str]:
    """Names of the devices in the data namespace; empty when there is none."""
    if not Path("/run/netns", NAMESPACE).exists():
        return frozenset()
    return frozenset(link["ifname"] for link in _json("link", "show"))


def _effective(want: Desired, routes: frozenset[Route], proxies: frozenset[Proxy]) -> tuple[Proxy, ...]:
    """The kernel answers for a proxy entry only while its route leads into the tunnel: both count."""
    into = {r.to for r in want.routes if r.dev == TUNNEL}
    fresh = {r.to for r in want.routes - routes if r.dev == TUNNEL}
    return tuple(
        sorted(
            p
            for p in want.proxies
            if f"{p.address}/32" in into and (p not in proxies or f"{p.address}/32" in fresh)
        )
    )


def _namespace() -> int:
    if Path("/run/netns", NAMESPACE).exists():
        return 0
    run(["ip", "netns", "add", NAMESPACE])
    run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"])
    return 1


def _management_nic(mac: str) -> str:
    """Its name. Without it nothing is touched: a NIC that is moved away may be the way in."""
    names = [link["ifname"] for link in _nics() if link["address"] == mac]
    if not names:
        raise Refusal("internal", f"no NIC has the management NIC's MAC {mac}; no NIC was touched")
    return str(names[0])


def _nics() -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = json.loads(run(["ip", "-j", "link", "show"]))
    return [link for link in links if link["link_type"] == "ether"]


def _adopt(management: str) -> int:
    """Move every NIC but the management NIC into the data namespace, named after its MAC."""
    moved = 0
    for link in _nics():
        name = link["ifname"]
        if name in (management, TUNNEL):
            continue
        interface = interface_name(link["address"])
        run(["ip", "link", "set", "dev", name, "down"])
        run(["ip", "link", "set", "dev", name, "netns", NAMESPACE, "name", interface])
        moved += 1
    return moved


def _firewall(wanted: str, runtime: Path) -> int:
    """Load the rules unless the kernel still shows what it showed after these were loaded."""
    memory = runtime / "firewall.json"
    current = {"wanted": wanted, "shown": _shown()}
    if memory.exists() and json.loads(memory.read_text()) == current:
        return 0
    run([*INSIDE, "nft", "-f", "-"], stdin=wanted)
    memory.write_text(json.dumps({"wanted": wanted, "shown": _shown()}))
    return 1


def _shown() -> str:
    tables = [run([*INSIDE, "nft", "list", "table", kind, FIREWALL], check=False) for kind in ("inet", "arp")]
    return "".join(tables)


def _settings(wanted: dict[str, str]) -> int:
    if not wanted:
        return 0
    shown = run([*INSIDE, "sysctl", "-e", *wanted])
    current = dict(line.split(" = ", 1) for line in shown.splitlines() if " = " in line)
    wrong = [f"{key}={wanted[key]}" for key, value in current.items() if wanted[key] != value.strip()]
    if wrong:
        run([*INSIDE, "sysctl", "-q", "-w", *wrong])
    return len(wrong)


def _addresses(wanted: dict[str, str]) -> int:
    shown = {entry["ifname"]: entry for entry in _json("addr", "show")}
    changed = 0
    for interface, address in wanted.items():
        current = [
            f"{a['local']}/{a['prefixlen']}" for a in shown[interface]["addr_info"] if a["family"] == "inet"
        ]
        if current != [address]:
            run(["ip", "-n", NAMESPACE, "-4", "addr", "flush", "dev", interface])
            run(["ip", "-n", NAMESPACE, "addr", "replace", *_address_words(address, interface)])
            changed += 1
        if "UP" not in shown[interface]["flags"]:
            run(["ip", "-n", NAMESPACE, "link", "set", "dev", interface, "up"])
            changed += 1
    return changed


def _address_words(address: str, interface: str) -> list[str]:
    # Of scope host, the tunnel's own address is never the source of what the kernel itself has to say to VMs.
    scope = ["scope", "host"] if interface == TUNNEL else []
    return [address, "dev", interface, "noprefixroute", *scope]


def _routes() -> frozenset[Route]:
    def to(dst: str) -> str:
        return dst if dst == "default" or "/" in dst else f"{dst}/32"

    shown = _json("route", "show", "table", "all", "proto", str(PROTOCOL))
    return frozenset(
        Route(to(r["dst"]), r.get("dev", "?"), r.get("table", "main"), r.get("gateway")) for r in shown
    )


def _rules() -> frozenset[Rule]:
    def source(rule: dict[str, Any]) -> str:
        return f"{rule['src']}/{rule['srclen']}" if "srclen" in rule else str(rule["src"])

    shown = [r for r in _json("rule", "show") if r.get("protocol") == str(PROTOCOL)]
    return frozenset(Rule(r["priority"], source(r), r.get("iif", "?"), r["table"]) for r in shown)


def _proxies() -> frozenset[Proxy]:
    return frozenset(Proxy(p["dst"], p["dev"]) for p in _json("neigh", "show", "proxy"))


def _batch(kind: str, want: frozenset[Entry], have: frozenset[Entry]) -> None:
    add = "add" if kind == "rule" else "replace"
    # New ones first: a route that changes its device is replaced, and is not deleted in between.
    kept = {(r.to, r.table) for r in want if isinstance(r, Route)}
    gone = [h for h in have - want if not (isinstance(h, Route) and (h.to, h.table) in kept)]
    lines = [f"{kind} {add} {w.words()}" for w in sorted(want - have)]
    lines += [f"{kind} del {h.words()}" for h in sorted(gone)]
    if lines:
        run(["ip", "-n", NAMESPACE, "-batch", "-"], stdin="\n".join(lines) + "\n")


def _json(*words: str) -> list[dict[str, Any]]:
    # With -4, `ip link` and `ip addr` leave out what has no IPv4 address.
    family = ["-4"] if words[0] in ("route", "rule", "neigh") else []
    text = run(["ip", "-n", NAMESPACE, *family, "-j", *words])
    entries: list[dict[str, Any]] = json.loads(text) if text.strip() else []
    return [entry for entry in entries if entry]
