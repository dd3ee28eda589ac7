# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""The views of the lab's vCenter: lists of objects that live as long as their session."""

import itertools
from typing import Any

from pyVmomi import vim, vmodl

from lab.vsphere.inventory import Inventory
from lab.vsphere.sessions import Session

CONTAINERS = (vim.Folder, vim.Datacenter)
"""Of the kinds that may be a view's container, those that the lab has."""


class Views:
    """The methods of ViewManager and of the views."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._numbers = itertools.count(1)

    def create_container(
        self, session: Session, this: Any, container: Any, recursive: bool, type: list[Any] | None = None
    ) -> Any:
        """CreateContainerView: what is in the container when it is read; of some types, or of all."""
        self._inventory.properties(container, session)
        if not isinstance(container, CONTAINERS):
            raise vmodl.fault.InvalidArgument(invalidProperty="container", msg="It contains nothing.")
        kinds = tuple(type or (vim.ManagedEntity,))

        def view() -> list[Any]:
            return [e for e in self._inventory.below(container, session, recursive) if isinstance(e, kinds)]

        return self._keep(
            session,
            vim.view.ContainerView,
            {
                "view": view,
                "container": lambda: container,
                "type": lambda: type or None,
                "recursive": lambda: recursive,
            },
        )

    def create_list(self, session: Session, this: Any, obj: list[Any] | None = None) -> Any:
        """CreateListView. Inferred: what is removed from the inventory leaves the view."""
        for one in obj or []:
            self._inventory.properties(one, session)
        view = lambda: [one for one in obj or [] if self._inventory.sees(session, one)]  # noqa: E731
        return self._keep(session, vim.view.ListView, {"view": view})

    def destroy(self, session: Session, this: Any) -> None:
        """DestroyView."""
        self._inventory.properties(this, session)
        del session.objects[this._moId]

    def _keep(self, session: Session, kind: Any, properties: dict[str, Any]) -> Any:
        moref = f"session[{session.key}]view-{next(self._numbers)}"
        session.objects[moref] = properties
        return kind(moref)
