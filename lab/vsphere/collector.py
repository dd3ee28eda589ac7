# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""The PropertyCollector of the lab's vCenter: one-off reads in pages, and filters that are waited on."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import vim, vmodl

from lab.vsphere import wire
from lab.vsphere.inventory import Inventory
from lab.vsphere.sessions import Session, Sessions

PC = vmodl.query.PropertyCollector
POLL_SECONDS = 0.2
"""How often a waiting collector looks at VMs; changes of tasks wake it at once."""

Read = tuple[Any, list[tuple[str, Any]], list[Any]]
"""One object: its reference, (path, value) pairs, and what could not be read."""


@dataclass
class Filter:
    """A filter and what its owner was told last."""

    owner: "Collector"
    spec: Any
    told: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Collector:
    """A session's collector: its filters and the versions that it handed out."""

    filters: dict[str, Filter] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)


class Collectors:
    """The methods of PropertyCollector and PropertyFilter."""

    def __init__(self, inventory: Inventory, sessions: Sessions) -> None:
        self.page = 100
        """Objects in one answer to RetrievePropertiesEx; the rest is fetched with the token."""
        self._inventory = inventory
        self._sessions = sessions
        self._numbers = itertools.count(1)

    def retrieve(self, session: Session | None, this: Any, specSet: list[Any], options: Any = None) -> Any:
        """RetrievePropertiesEx."""
        page = min(self.page, (options and options.maxObjects) or self.page)
        return self._page(session, self._objects(session, specSet), page)

    def retrieve_all(self, session: Session | None, this: Any, specSet: list[Any]) -> list[Any]:
        """RetrieveProperties, the method before that one: everything in one answer."""
        return self._objects(session, specSet)

    def _objects(self, session: Session | None, specs: list[Any]) -> list[Any]:
        """Without a session every property is missing; that is no fault."""
        objects = []
        for spec in specs:
            for ref, values, missing in self._read(spec, session):
                invalid = next(
                    (m.fault for m in missing if isinstance(m.fault, vmodl.query.InvalidProperty)), None
                )
                if invalid:
                    raise invalid
                shown = [vmodl.DynamicProperty(name=n, val=v) for n, v in values]
                objects.append(PC.ObjectContent(obj=ref, propSet=shown, missingSet=missing))
        return objects

    def proceed(self, session: Session, this: Any, token: str) -> Any:
        """ContinueRetrievePropertiesEx."""
        if token not in session.objects:
            raise vmodl.fault.InvalidArgument(invalidProperty="token", msg="The token is invalid.")
        return self._page(session, session.objects.pop(token), self.page)

    def _page(self, session: Session | None, objects: list[Any], page: int) -> Any:
        token = None
        if session and len(objects) > page:
            token = f"token-{next(self._numbers)}"
            session.objects[token] = objects[page:]
        return PC.RetrieveResult(token=token, objects=objects[:page]) if objects else None

    def create(self, session: Session, this: Any) -> Any:
        """CreatePropertyCollector."""
        moref = f"session[{session.key}]collector-{next(self._numbers)}"
        session.objects[moref] = Collector()
        return PC(moref)

    def destroy(self, session: Session, this: Any) -> None:
        """DestroyPropertyCollector."""
        del session.objects[self._collector_name(session, this)]

    def create_filter(self, session: Session, this: Any, spec: Any, partialUpdates: bool) -> Any:
        """CreateFilter."""
        list(self._select(spec, session))
        collector = session.objects[self._collector_name(session, this)]
        moref = f"session[{session.key}]filter-{next(self._numbers)}"
        session.objects[moref] = collector.filters[moref] = Filter(collector, spec)
        return PC.Filter(moref)

    def destroy_filter(self, session: Session, this: Any) -> None:
        """DestroyPropertyFilter."""
        filter = session.objects.pop(this._moId, None)
        if not isinstance(filter, Filter):
            raise wire.not_found(this)
        del filter.owner.filters[this._moId]

    def wait(self, session: Session, this: Any, version: str = "", options: Any = None) -> Any:
        """WaitForUpdatesEx: everything at first, then changes; None when `maxWaitSeconds` went by."""
        collector = session.objects[self._collector_name(session, this)]
        limit = options.maxWaitSeconds if options else None
        deadline = time.monotonic() + (1800 if limit is None else limit)
        if version and version not in collector.versions:
            raise vmodl.query.InvalidCollectorVersion(msg="The version is invalid.")
        if not version:
            for known in collector.filters.values():
                known.told.clear()
        tasks = self._inventory.tasks
        while self._sessions.alive(session):
            revision = tasks.revision
            updates = [u for u in (self._update(m, f, session) for m, f in collector.filters.items()) if u]
            if updates or not version:
                collector.versions.append(str(next(self._numbers)))
                return PC.UpdateSet(version=collector.versions[-1], filterSet=updates)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            session.seen = time.monotonic()
            tasks.wait(revision, min(left, POLL_SECONDS))
        raise wire.not_authenticated(this, "System.View")

    def wait_long(self, session: Session, this: Any, version: str = "") -> Any:
        """WaitForUpdates, the method before that one: until there is something."""
        while True:
            updates = self.wait(session, this, version)
            if updates is not None:
                return updates

    def _collector_name(self, session: Session, this: Any) -> str:
        """The session's own default collector is made when it is first used."""
        name = str(this._moId)
        if name == "propertyCollector":
            session.objects.setdefault(name, Collector())
        elif not isinstance(session.objects.get(name), Collector):
            raise wire.not_found(this)
        return name

    def _update(self, moref: str, known: Filter, session: Session) -> Any:
        """What changed for one filter since it was told last, or None."""
        updates, live = [], set()
        for ref, values, _ in self._read(known.spec, session):
            live.add(ref._moId)
            old, new = known.told.get(ref._moId), {n: _comparable(v) for n, v in values}
            changes = [
                PC.Change(name=n, op="assign", val=v)
                for n, v in values
                if old is None or old.get(n) != new[n]
            ]
            changes += [PC.Change(name=n, op="assign") for n in (old or {}) if n not in new]
            if old is None or changes:
                kind = "enter" if old is None else "modify"
                updates.append(PC.ObjectUpdate(kind=kind, obj=ref, changeSet=changes))
            known.told[ref._moId] = new
        for gone in [m for m in known.told if m not in live]:
            del known.told[gone]
            updates.append(PC.ObjectUpdate(kind="leave", obj=vim.ManagedEntity(gone)))
        return PC.FilterUpdate(filter=PC.Filter(moref), objectSet=updates) if updates else None

    def _read(self, spec: Any, session: Session | None) -> Iterator[Read]:
        for ref in self._select(spec, session):
            values, missing = [], []
            for wanted in spec.propSet:
                if not isinstance(ref, wanted.type):
                    continue
                paths = [p.name for p in type(ref)._GetPropertyList()] if wanted.all else wanted.pathSet
                for path in paths:
                    try:
                        value = self._inventory.read(ref, path, session)
                    except vmodl.fault.ManagedObjectNotFound:
                        break  # it went away meanwhile
                    except vmodl.MethodFault as fault:
                        missing.append(PC.MissingProperty(path=path, fault=fault))
                        continue
                    if value is not None:
                        values.append((path, value))
            yield ref, values, missing

    def _select(self, spec: Any, session: Session | None) -> Iterator[Any]:
        """The objects of a filter: its roots and what its traversals lead to."""
        for start in spec.objectSet:
            try:
                self._inventory.properties(start.obj, session)
            except vmodl.fault.ManagedObjectNotFound:
                if spec.reportMissingObjectsInResults:
                    continue
                raise
            if not start.skip:
                yield start.obj
            yield from self._walk(start.obj, start.selectSet, {}, {start.obj._moId}, session)

    def _walk(
        self, ref: Any, selection: list[Any], named: dict[str, Any], seen: set[str], session: Session | None
    ) -> Iterator[Any]:
        named |= {s.name: s for s in selection if isinstance(s, PC.TraversalSpec) and s.name}
        for step in selection:
            walk = step if isinstance(step, PC.TraversalSpec) else named.get(step.name)
            if walk is None or not isinstance(ref, walk.type):
                continue
            try:
                value = self._inventory.read(ref, walk.path, session) or []
            except (vim.fault.NoPermission, vim.fault.NotAuthenticated):
                continue  # inferred
            for target in value if isinstance(value, list) else [value]:
                if target._moId in seen:
                    continue
                seen.add(target._moId)
                if not walk.skip:
                    yield target
                yield from self._walk(target, walk.selectSet, named, seen, session)


def _comparable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
