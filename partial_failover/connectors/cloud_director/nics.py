"""A VM's NICs, declared as a whole and sent in one `NetworkConnectionSection`.

pyvcloud's own NIC calls add and change one at a time, put elements in the wrong order and cannot move a
NIC to another network.
"""

from collections.abc import Sequence
from copy import deepcopy

from lxml import etree

from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.changes import Change, Running
from partial_failover.connectors.cloud_director.reader import VApp, VdcReader, understood
from partial_failover.connectors.cloud_director.transport import HttpRequest
from partial_failover.contracts.errors import BadRequest, LimitReached, WrongState
from partial_failover.contracts.network import AllocationMode, Nic

MOST_NICS = 10
"""NICs of one VM (source: vSphere configuration maximums; Cloud Director allows indices 0 to 9)."""
_ORDER = (
    "NetworkConnectionIndex",
    "IpAddress",
    "IpType",
    "SecondaryIpAddress",
    "SecondaryIpType",
    "ExternalIpAddress",
    "IsConnected",
    "MACAddress",
    "IpAddressAllocationMode",
    "SecondaryIpAddressAllocationMode",
    "NetworkAdapterType",
)


def replace(reader: VdcReader, vm_id: str, wanted: Sequence[Nic]) -> Change:
    """Exactly these NICs."""

    def plan() -> HttpRequest | Running | None:
        vapp, body = reader.vm_body(vm_id)
        return understood(lambda: _plan(vapp, body, vm_id, wanted), "read the VM's NICs")

    vapp_id = reader.vm(vm_id).vapp_id
    return Change("change the VM's NICs", vapp_id, vm_id, plan, operation="update|reconfigure")


def _plan(
    vapp: VApp, body: etree._Element, vm_id: str, wanted: Sequence[Nic]
) -> HttpRequest | Running | None:
    name = xml.required(body, "name")
    _check(wanted, vapp, name)
    busy = xml.running_task(body) or vapp.busy
    if busy:
        return Running(busy)
    present = body.find("{*}NetworkConnectionSection")
    nics, unread = xml.nics_of(present)
    if unread:
        raise WrongState(
            f"{', '.join(unread)} of {name} cannot be read, so it could not be put back",
            left="Its NICs are as they were",
            do="Set it anew in Cloud Director",
        )
    if _all_same(nics, wanted):
        return None
    return HttpRequest(
        f"change the NICs of {name}",
        "PUT",
        f"vApp/vm-{vm_id}/networkConnectionSection/",
        _section(present, wanted),
        f"{xml.MEDIA}networkConnectionSection+xml",
    )


def _check(nics: Sequence[Nic], vapp: VApp, vm: str) -> None:
    """Refuse what Cloud Director would refuse, before anything is sent."""
    if len(nics) > MOST_NICS:
        raise LimitReached(
            f"{vm} would need {len(nics)} NICs and a VM has at most {MOST_NICS}",
            left="Its NICs are as they were",
            do="Use fewer organization VDC networks",
        )
    indices = [n.index for n in nics]
    if len(set(indices)) < len(indices) or any(not 0 <= i < MOST_NICS for i in indices):
        raise BadRequest(f"The NICs of {vm} need different indices from 0 to {MOST_NICS - 1}")
    for nic in nics:
        if nic.mode is AllocationMode.MANUAL and nic.address is None and not _of("IpAddress", nic.others):
            raise BadRequest(f"NIC {nic.index} of {vm} has a manual address mode and no address")
        if nic.network is not None and nic.network not in vapp.networks and not vapp.hidden:
            raise BadRequest(
                f"The network {nic.network!r} is not attached to the vApp of {vm}",
                left="Its NICs are as they were",
                do="Attach the network to the vApp first",
            )


def _same(nic: Nic, wanted: Nic) -> bool:
    """Whether a NIC is as declared. What the declaration leaves open (MAC, address) fits anything."""
    return (
        nic.network == wanted.network
        and nic.connected == wanted.connected
        and (nic.mode == wanted.mode or wanted.network is None)
        and (not wanted.mac or nic.mac.casefold() == wanted.mac.casefold())
        and (not _has_fixed_address(wanted) or nic.address == wanted.address)
        and set(_settable(wanted)) <= set(_settable(nic))
    )


def _settable(nic: Nic) -> list[str]:
    """What is kept of a NIC beside the contract, without the kind of its adapter: a NIC has it for its whole
    life, and a revert brings back the one that its guest knows."""
    return [text for text in nic.others if not text.startswith("<NetworkAdapterType>")]


def _of(name: str, others: Sequence[str]) -> list[str]:
    return [text for text in others if text.startswith(f"<{name}>")]


def _all_same(nics: Sequence[Nic], wanted: Sequence[Nic]) -> bool:
    """Whether the VM's NICs are as declared."""
    by_index = {n.index: n for n in nics}
    return set(by_index) == {w.index for w in wanted} and all(
        _same(by_index[w.index], w) and (by_index[w.index].primary or not w.primary) for w in wanted
    )


def _has_fixed_address(nic: Nic) -> bool:
    return nic.address is not None and nic.mode in (AllocationMode.MANUAL, AllocationMode.POOL)


def _section(present: etree._Element | None, wanted: Sequence[Nic]) -> etree._Element:
    """The section to send. A NIC that is to stay as it is keeps all that Cloud Director said of it."""
    new = xml.section("NetworkConnectionSection", "NICs of the virtual machine")
    known = {} if present is None else _by_index(present)
    nics = sorted(wanted, key=lambda n: n.index)
    if nics:
        primary = next((n.index for n in nics if n.primary), nics[0].index)
        xml.add(new, "PrimaryNetworkConnectionIndex", str(primary))
    for nic in nics:
        old = known.get(nic.index)
        if old is not None and _same(xml.nic_of(old, None), nic):
            new.append(deepcopy(old))
        else:
            new.append(_connection(nic, old))
    xml.keep_others(present, new, ("PrimaryNetworkConnectionIndex", "NetworkConnection"))
    return new


def _by_index(present: etree._Element) -> dict[int, etree._Element]:
    return {xml.nic_of(c, None).index: c for c in present.iterfind("{*}NetworkConnection")}


def _connection(nic: Nic, old: etree._Element | None) -> etree._Element:
    """Children in the order of the XSD (`NetworkConnectionType`), those that no `Nic` knows as well. The
    guest's settings hang on the MAC, so it is kept; a new NIC gets one from Cloud Director."""
    plugged = nic.network is not None
    element = xml.new("NetworkConnection", network=nic.network or xml.UNPLUGGED)
    xml.add(element, "NetworkConnectionIndex", str(nic.index))
    for text in nic.others if plugged else _of("NetworkAdapterType", nic.others):
        element.append(xml.element_of(text))
    if plugged and _has_fixed_address(nic):
        xml.add(element, "IpAddress", str(nic.address))
    xml.add(element, "IsConnected", "true" if plugged and nic.connected else "false")
    mac = nic.mac or (old.findtext("{*}MACAddress") if old is not None else None)
    if mac:
        xml.add(element, "MACAddress", mac)
    xml.add(element, "IpAddressAllocationMode", str(nic.mode if plugged else AllocationMode.NONE))
    _choose_adapter(element, old)
    element[:] = sorted(element, key=_place)
    return element


def _choose_adapter(element: etree._Element, old: etree._Element | None) -> None:
    """The one that it has; else the one that is kept, else the usual."""
    kept, has = (e.find("{*}NetworkAdapterType") if e is not None else None for e in (element, old))
    if kept is None:
        kept = xml.add(element, "NetworkAdapterType", "VMXNET3")
    if has is not None and has.text:
        kept.text = has.text


def _place(part: etree._Element) -> int:
    name = xml.local_name(part)
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)
