"""Which request means what, and who may ask."""

import math
import re
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from lxml import etree

from lab.cloud_director import organizations, queries, sections, xml
from lab.cloud_director.actions import Actions
from lab.cloud_director.model import (
    ASKING,
    Entity,
    OrgNetwork,
    Principal,
    Task,
    VApp,
    Vm,
    bad,
    forbidden,
)
from lab.cloud_director.render import Renderer
from lab.cloud_director.route import Answer, Asked, Route, route
from lab.cloud_director.tasks import Tasks
from lab.cloud_director.world import World, sees, vapp_of
from lab.cloud_director.xml import MEDIA, put, root, word

VM = r"/api/vApp/(?P<ref>vm-[0-9a-f-]{36})"
VAPP = r"/api/vApp/(?P<ref>vapp-[0-9a-f-]{36})"
BOTH = r"/api/vApp/(?P<ref>(vm|vapp)-[0-9a-f-]{36})"
TASK = r"/api/task/(?P<id>[0-9a-f-]{36})"
FORM = "application/x-www-form-urlencoded"


class Api:
    """Everything behind the connection. `served`: API version → whether it is deprecated."""

    def __init__(self, world: World, tasks: Tasks, renderer: Renderer) -> None:
        self.world, self.tasks, self.render = world, tasks, renderer
        self.actions = Actions(world, tasks)
        self.served = {"36.3": True} | dict.fromkeys(
            ("37.0", "37.1", "37.2", "37.3", "38.0", "38.1", "39.0", "39.1"), False
        )
        self.token_seconds = 3600.0
        self.vcenter_url = "https://vcenter.invalid"
        self.sessions: dict[str, tuple[Principal, float]] = {}
        self.routes = [*self._public(), *self._reading(), *self._power(), *self._sections()]

    def _public(self) -> list[Route]:
        exchange = r"/oauth/(provider|tenant/(?P<org>[^/]+))/token"
        return [
            route("GET versions", "/api/versions", self.versions, public=True),
            route("POST token", exchange, self.exchange, FORM, public=True),
        ]

    def _reading(self) -> list[Route]:
        return [
            route("GET session", "/api/session", self.session),
            route("GET current session", "/cloudapi/1.0.0/sessions/current", self.current_session),
            route("DELETE session", "/cloudapi/1.0.0/sessions/current", self.logout),
            route("GET role rights", r"/cloudapi/1.0.0/roles/(?P<role>[^/]+)/rights", self.role_rights),
            route("GET orgs", "/api/org/", self.orgs),
            route("GET org", r"/api/org/(?P<id>[0-9a-f-]{36})", self.org),
            route("GET vdc", r"/api/vdc/(?P<id>[0-9a-f-]{36})", self.vdc),
            route("GET query", "/api/query", self.query),
            route("GET vm", VM, self.vm),
            route("GET vApp", VAPP, self.vapp),
            route("GET task", TASK, self.task),
            route("POST cancel", f"{TASK}/action/cancel", self.cancel),
            route("GET orgVdcNetworks", "/cloudapi/1.0.0/orgVdcNetworks", self.networks),
            route("GET vimServer", r"/api/admin/extension/vimServer/(?P<id>[0-9a-f-]{36})", self.vcenter),
        ]

    def _power(self) -> list[Route]:
        act, task = self.actions, self._vm_task
        undeploy, answer = f"{MEDIA}undeployVAppParams+xml", f"{MEDIA}vmPendingAnswer+xml"
        snapshot = f"{MEDIA}createSnapshotParams+xml"
        return [
            route("POST powerOn", f"{VM}/power/action/powerOn", task(act.power_on)),
            route("POST powerOff", f"{VM}/power/action/powerOff", task(act.power_off)),
            route(
                "POST discardSuspendedState",
                f"{VM}/action/discardSuspendedState",
                task(act.discard_suspended_state),
            ),
            route("POST suspend", f"{VM}/power/action/suspend", task(act.suspend)),
            route("POST undeploy", f"{VM}/action/undeploy", self.undeploy, undeploy),
            route("POST reloadFromVc", f"{VM}/action/reloadFromVc", task(act.reload)),
            route("POST createSnapshot", f"{VM}/action/createSnapshot", task(act.create_snapshot), snapshot),
            route("GET question", f"{VM}/question", self.question),
            route("POST answer", f"{VM}/question/action/answer", self.answer, answer),
            route(
                "POST enterMaintenanceMode", f"{VAPP}/action/(?P<what>enter)MaintenanceMode", self.maintenance
            ),
            route(
                "POST exitMaintenanceMode", f"{VAPP}/action/(?P<what>exit)MaintenanceMode", self.maintenance
            ),
        ]

    def _sections(self) -> list[Route]:
        configs, connections = f"{VAPP}/networkConfigSection/", f"{VM}/networkConnectionSection/"
        config, connection = f"{MEDIA}networkConfigSection+xml", f"{MEDIA}networkConnectionSection+xml"
        hardware, part = f"{VM}/virtualHardwareSection", "(?P<part>cpu|memory|networkCards)"
        system, guest = f"{VM}/operatingSystemSection/?", f"{VM}/guestCustomizationSection/?"
        entry = f"{BOTH}/metadata/((?P<domain>SYSTEM|GENERAL)/)?(?P<key>[^/]+)"
        return [
            route("GET networkConfigSection", configs, self.configs),
            route("PUT networkConfigSection", configs, self.set_configs, config),
            route("GET networkConnectionSection", connections, self.connections),
            route("PUT networkConnectionSection", connections, self.set_connections, connection),
            route("GET virtualHardwareSection", f"{hardware}/?", self._section(sections.hardware)),
            route("GET virtualHardwareSection", f"{hardware}/{part}", self.hardware_item),
            route("GET operatingSystemSection", system, self._section(sections.operating_system)),
            route("GET guestCustomizationSection", guest, self._section(sections.customization)),
            route("GET metadata", f"{BOTH}/metadata", self.metadata),
            route("POST metadata", f"{BOTH}/metadata", self.set_metadata, f"{MEDIA}metadata+xml"),
            route("DELETE metadata", entry, self.delete),
        ]

    # Who is there

    def versions(self, asked: Asked) -> Answer:
        """Needs neither login nor version."""
        element = root("SupportedVersions", xml.VERSIONS)
        for version, deprecated in self.served.items():
            info = put(element, "VersionInfo", None, xml.VERSIONS, deprecated=word(deprecated))
            put(info, "Version", version, xml.VERSIONS)
            put(info, "LoginUrl", f"{self.render.base}/cloudapi/1.0.0/sessions", xml.VERSIONS)
        return Answer(xml=element)

    def exchange(self, asked: Asked) -> Answer:
        """API token for access token."""
        form = dict(parse_qsl(asked.body.decode("utf-8", "replace")))
        given = form.get("refresh_token", "")
        who = self.world.api_tokens.get(given)
        realm = asked.groups.get("org")
        if form.get("grant_type") != "refresh_token" or who is None or who.org != (realm or "System"):
            return Answer(400, json={"error": "invalid_grant"})
        token = f"jwt.{secrets.token_urlsafe(24)}"
        self.sessions[token] = (who, time.monotonic() + self.token_seconds)
        return Answer(
            json={
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": int(self.token_seconds),
                "refresh_token": self.world.use_api_token(given),
            }
        )

    def principal(self, token: str) -> Principal | None:
        """Whose access token it is, if it is still good."""
        who, ends = self.sessions.get(token, (None, 0.0))
        return who if time.monotonic() < ends else None

    def session(self, asked: Asked) -> Answer:
        """Who I am."""
        return Answer(xml=organizations.session(self.render.base, asked.who))

    def current_session(self, asked: Asked) -> Answer:
        """Who I am, with my role; in the lab everybody has a role of his own."""
        role = {"name": f"role of {asked.who.user}", "id": f"urn:vcloud:role:{_role_id(asked.who)}"}
        return Answer(json={"user": {"name": asked.who.user}, "roleRefs": [role]})

    def role_rights(self, asked: Asked) -> Answer:
        """The rights of my role, page by page."""
        if asked.groups["role"] != f"urn:vcloud:role:{_role_id(asked.who)}":
            raise forbidden("No access to the role")
        values = [{"name": right} for right in sorted(asked.who.rights)]
        return Answer(json=_json_page(values, asked))

    def logout(self, asked: Asked) -> Answer:
        """End this access token."""
        self.sessions.pop(asked.token, None)
        return Answer(204)

    # What is there

    def orgs(self, asked: Asked) -> Answer:
        """The organizations that may be seen."""
        visible = [org for org in self.world.orgs if sees(asked.who, org)]
        return Answer(xml=organizations.org_list(self.render.base, visible))

    def org(self, asked: Asked) -> Answer:
        """One organization."""
        for org in self.world.orgs:
            if org.id == asked.groups["id"] and sees(asked.who, org):
                return Answer(xml=organizations.organization(self.render.base, org))
        raise forbidden("No access to the organization")

    def vdc(self, asked: Asked) -> Answer:
        """One organization VDC."""
        world = self.world
        for vdc in world.vdcs:
            if vdc.id == asked.groups["id"] and sees(asked.who, vdc.org):
                vapps = [vapp for vapp in world.vapps if vapp.vdc is vdc]
                networks = world.usable_in(vdc)
                return Answer(xml=organizations.virtual_data_centre(self.render.base, vdc, vapps, networks))
        raise forbidden("No access to the organization VDC")

    def query(self, asked: Asked) -> Answer:
        """The list of queries, or one."""
        if "type" not in asked.query:
            return Answer(xml=queries.query_list(self.render, asked.who))
        return Answer(xml=queries.run(self.world, self.render, asked.who, asked.query))

    def _entity(self, asked: Asked) -> Entity:
        with self.world.lock:
            return self.world.entity(asked.groups["ref"], asked.who)

    def _vm(self, asked: Asked) -> Vm:
        entity = self._entity(asked)
        assert isinstance(entity, Vm)
        return entity

    def _vapp(self, asked: Asked) -> VApp:
        entity = self._entity(asked)
        assert isinstance(entity, VApp)
        return entity

    def _blocked(self, entity: Entity, who: Principal) -> bool:
        return self.tasks.busy_with(entity) is not None or (vapp_of(entity).maintenance and not who.provider)

    def vm(self, asked: Asked) -> Answer:
        """A VM."""
        vm = self._vm(asked)
        blocked = self._blocked(vm, asked.who)
        return Answer(xml=self.render.vm(vm, asked.who, self.tasks.on(vm), blocked))

    def vapp(self, asked: Asked) -> Answer:
        """A vApp."""
        vapp = self._vapp(asked)
        entities: list[Entity] = [vapp, *vapp.vms]
        tasks = {e: self.tasks.on(e) for e in entities}
        return Answer(xml=self.render.vapp(vapp, asked.who, tasks, self._blocked(vapp, asked.who)))

    def vcenter(self, asked: Asked) -> Answer:
        """The vCenter; for the provider only."""
        if not asked.who.provider or asked.groups["id"] != self.world.vcenter_id:
            raise forbidden("No access to the vCenter")
        element = root("VimServer", xml.EXTENSION, name=self.world.machines.name)
        put(element, "Url", self.vcenter_url, xml.EXTENSION)
        put(element, "Uuid", self.world.machines.instance_uuid, xml.EXTENSION)
        return Answer(xml=element)

    def networks(self, asked: Asked) -> Answer:
        """Organization VDC networks, page by page. Without `includeAccessible` only those that the VDC, or
        the VDC group, owns itself."""
        match = re.fullmatch(
            r"\(?ownerRef\.id==(?P<owner>urn:vcloud:vdc(Group)?:[0-9a-f-]{36})"
            r"(?P<all>;_context==includeAccessible)?\)?",
            asked.query.get("filter", ""),
        )
        if match is None:
            raise bad("The filter is not valid")
        with self.world.lock:
            visible = [
                n
                for n in self.world.networks
                if sees(asked.who, n.vdc.org)
                and (_owner(n)["id"] == match["owner"] or (match["all"] and match["owner"] in _users(n)))
            ]
        return Answer(json=_json_page([_network_json(n) for n in visible], asked))

    # What changes something

    def _task(self, task: Task) -> Answer:
        body = self.render.task(task)
        return Answer(202, xml=body, headers={"Location": body.get("href", "")})

    def _vm_task(self, action: Callable[[Vm, Principal], Task]) -> Callable[[Asked], Answer]:
        return lambda asked: self._task(action(self._vm(asked), asked.who))

    def undeploy(self, asked: Asked) -> Answer:
        """Off and undeployed."""
        return self._task(self.actions.undeploy(self._vm(asked), asked.body, asked.who))

    def question(self, asked: Asked) -> Answer:
        """What the VM asks; 403 when nothing."""
        vm = self._vm(asked)
        if vm.status != ASKING or vm.asks is None:
            raise forbidden("No access to the question")
        element = root("VmPendingQuestion")
        put(element, "Question", vm.asks.text)
        put(element, "QuestionId", "7")
        for number, text in enumerate(vm.asks.choices):
            choice = put(element, "Choices")
            put(choice, "Id", str(number))
            put(choice, "Text", text)
        return Answer(xml=element)

    def answer(self, asked: Asked) -> Answer:
        """To its question."""
        self.actions.answer(self._vm(asked), asked.body, asked.who)
        return Answer(204)

    def maintenance(self, asked: Asked) -> Answer:
        """Enter or exit."""
        self.actions.maintenance(self._vapp(asked), asked.groups["what"] == "enter", asked.who)
        return Answer(204)

    def configs(self, asked: Asked) -> Answer:
        """The vApp's networks."""
        return Answer(xml=self.render.configs(self._vapp(asked)))

    def set_configs(self, asked: Asked) -> Answer:
        """All of them anew."""
        return self._task(self.actions.set_configs(self._vapp(asked), asked.body, asked.who))

    def connections(self, asked: Asked) -> Answer:
        """The VM's NICs."""
        return Answer(xml=self.render.connections(self._vm(asked)))

    def set_connections(self, asked: Asked) -> Answer:
        """All of them anew."""
        return self._task(self.actions.set_connections(self._vm(asked), asked.body, asked.who))

    def _section(self, section: Callable[[Vm, str], etree._Element]) -> Callable[[Asked], Answer]:
        return lambda asked: Answer(xml=section(vm := self._vm(asked), self.render.href(vm)))

    def hardware_item(self, asked: Asked) -> Answer:
        """Processors, memory or network cards."""
        return Answer(xml=sections.hardware_item(self._vm(asked), asked.groups["part"]))

    def metadata(self, asked: Asked) -> Answer:
        """All entries that may be seen."""
        return Answer(xml=self.render.metadata(self._entity(asked), asked.who))

    def set_metadata(self, asked: Asked) -> Answer:
        """Merge."""
        return self._task(self.actions.set_metadata(self._entity(asked), asked.body, asked.who))

    def delete(self, asked: Asked) -> Answer:
        """One entry of metadata."""
        domain = asked.groups.get("domain") or "GENERAL"
        task = self.actions.delete_metadata(self._entity(asked), domain, asked.groups["key"], asked.who)
        return self._task(task)

    def _known_task(self, asked: Asked) -> Task:
        task = self.tasks.all.get(asked.groups["id"])
        if task is None or not (asked.who.provider or task.user.org == asked.who.org):
            raise forbidden(f"No access to entity urn:vcloud:task:{asked.groups['id']}")
        return task

    def task(self, asked: Asked) -> Answer:
        """How a task stands."""
        return Answer(xml=self.render.task(self._known_task(asked)))

    def cancel(self, asked: Asked) -> Answer:
        """End a task without its effect."""
        self._known_task(asked).cancel.set()
        return Answer(204)


def _network_json(network: OrgNetwork) -> dict[str, Any]:
    subnet = {"gateway": str(network.gateway.ip), "prefixLength": network.gateway.network.prefixlen}
    return {
        "id": f"urn:vcloud:network:{network.id}",
        "name": network.name,
        "networkType": network.type,
        "subnets": {"values": [subnet]},
        "ownerRef": _owner(network),
        "orgVdc": None if network.group else _owner(network),
    }


def _owner(network: OrgNetwork) -> dict[str, str]:
    kind, owner = ("vdcGroup", network.group) if network.group else ("vdc", network.vdc)
    return {"id": f"urn:vcloud:{kind}:{owner.id}", "name": owner.name}


def _users(network: OrgNetwork) -> set[str]:
    return {f"urn:vcloud:vdc:{vdc.id}" for vdc in network.vdcs}


def _role_id(who: Principal) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{who.org}/{who.user}"))


def _json_page(values: list[dict[str, Any]], asked: Asked) -> dict[str, Any]:
    size, page = int(asked.query.get("pageSize", "25")), int(asked.query.get("page", "1"))
    if not 1 <= size <= 128 or page < 1:
        raise bad("The page is not valid")
    return {
        "resultTotal": len(values),
        "pageCount": math.ceil(len(values) / size),
        "page": page,
        "pageSize": size,
        "values": values[(page - 1) * size : page * size],
    }
