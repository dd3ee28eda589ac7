# mypy: disallow-untyped-calls=False
# pyVmomi's types are built at run time and their constructors carry no annotations.
"""Which privilege a session has on which entity of the lab's vCenter.

A role always has `System.Anonymous`, `System.View` and `System.Read` (source: vSphere API,
AuthorizationManager). An account has one role, either on the root folder, from where it goes down to
everything, or on some VMs only.
"""

from typing import Any

from pyVmomi import vim

from lab.vsphere import wire
from lab.vsphere.places import DATACENTER, ROOT, VM_FOLDER
from lab.vsphere.sessions import Session

ANONYMOUS, VIEW, READ = "System.Anonymous", "System.View", "System.Read"
ASSIGN = "Network.Assign"
ABOVE_VMS = (ROOT, DATACENTER, VM_FOLDER)


def holds(session: Session | None, entity: Any, privilege: str) -> bool:
    """Whether it does. What is no entity, such as a manager, may be read by everybody who is logged in.

    Inferred: what lies above an entity that an account has a role on may be viewed, and no more.
    """
    if session is None or privilege == ANONYMOUS:
        return privilege == ANONYMOUS
    system = privilege in (VIEW, READ)
    if not isinstance(entity, vim.ManagedEntity):
        return system or (session.vms is None and _in_role(session, privilege))
    if session.vms is None or entity._moId in session.vms:
        return system or _in_role(session, privilege)
    return privilege == VIEW and entity._moId in ABOVE_VMS


def check(session: Session | None, entity: Any, privilege: str) -> None:
    """Raise NotAuthenticated or NoPermission."""
    if holds(session, entity, privilege):
        return
    if session is None:
        raise wire.not_authenticated(entity, privilege)
    raise vim.fault.NoPermission(
        object=entity, privilegeId=privilege, msg="Permission to perform this operation was denied."
    )


def _in_role(session: Session, privilege: str) -> bool:
    return session.privileges is None or privilege in session.privileges
