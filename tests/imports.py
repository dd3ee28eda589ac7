"""What a file imports, read from its source, and which room of the house may import which.

`python -m tests.imports` prints the drawing that docs/architecture.md has.
"""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


@cache
def imported(file: Path) -> frozenset[str]:
    """The full name of each module that it imports; of `from a import b` also `a.b`, a module perhaps."""
    names = set[str]()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.update({node.module}, (f"{node.module}.{alias.name}" for alias in node.names))
    return frozenset(names)


def source(module: str) -> Path | None:
    """The file of a module of this repository."""
    path = ROOT.joinpath(*module.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.exists()), None)


ALLOWED: dict[str, set[str]] = {
    "worker": {"workflows", "activities", "process", "monitoring", "factories", "settings", "contracts"},
    "workflows": {"temporal", "contracts"},
    "activities": {"temporal", "connectors", "settings", "contracts"},
    "cli": {"worker", "process", "reports", "temporal", "factories", "connectors", "settings", "contracts"},
    "process": {"site_check", "monitoring", "temporal", "settings", "contracts"},
    "site_check": {"temporal", "factories", "connectors", "settings", "contracts", "appliance"},
    "monitoring": {"temporal", "contracts"},
    "reports": {"contracts"},
    "temporal": {"settings", "contracts"},
    "factories": {"connectors", "settings"},
    "settings": {"connectors", "contracts"},
    "connectors": {"contracts"},
    "contracts": set(),
    "appliance": set(),
}
"""Room → the rooms that it imports. What stands in no row is not of the product."""

LIBRARIES = {
    "pyvcloud": "partial_failover.connectors.cloud_director",
    "pyVmomi": "partial_failover.connectors.vsphere",
    "httpx": "partial_failover.connectors",
    "asyncssh": "partial_failover.connectors.appliance",
    "cryptography": "activities.shared.proof",
}
"""Client library → where alone it is known."""

APART = {
    "activities.provider": ("activities.tenant_site",),
    "activities.tenant_site": ("activities.provider",),
    "activities.shared": ("activities.provider", "activities.tenant_site"),
}
"""The steps of a role → those that they never need."""


def room(module: str) -> str | None:
    """The room that a module of this repository is in; None for any other. The product's package is no room
    of its own: those in it are."""
    first, *more = module.split(".")
    if first == "partial_failover":
        return {"__main__": "cli"}.get(more[0], more[0]) if more else None
    return first if source(first) else None


def product() -> dict[str, frozenset[str]]:
    """Each module of the product, and what it imports."""
    packages = [ROOT / name for name in ("workflows", "activities", "appliance", "partial_failover")]
    files = [ROOT / "worker.py", *(file for package in packages for file in package.rglob("*.py"))]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): imported(file)
        for file in files
    }


def under(module: str, package: str) -> bool:
    """Whether it is that package, or in it."""
    return module == package or module.startswith(f"{package}.")


def arrows() -> dict[str, dict[str, set[str]]]:
    """From each room of the product to each that it imports: the modules that do."""
    drawn: dict[str, dict[str, set[str]]] = {}
    for module, names in product().items():
        here = room(module)
        for there in filter(None, map(room, names)):
            if here and there != here:
                drawn.setdefault(here, {}).setdefault(there, set()).add(module)
    return drawn


def drawing() -> str:
    """Mermaid's text of the table. Nearly all rooms import `contracts`: those arrows are left out."""
    rows = {here: sorted(row - {"contracts"}) for here, row in ALLOWED.items()}
    lines = [f"    {here} --> {' & '.join(row)}" for here, row in rows.items() if row]
    return "\n".join(["flowchart TD", *lines])


if __name__ == "__main__":
    print(drawing())
