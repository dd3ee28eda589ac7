"""What a `Vm` has beside its NICs' section: hardware, operating system, customization of the guest.

Namespaces, names and order are those of documented answers (`VmType`, `GuestCustomizationSectionType`); the
amounts of hardware are the lab's own.
"""

from lxml import etree

from lab.cloud_director.model import CloudNic, Vm
from lab.cloud_director.xml import MEDIA, OVF, VCLOUD, link, put, root, word

RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
VMW = "http://www.vmware.com/schema/ovf"
CPUS, MEMORY_MB = 2, 4096
PROCESSOR, MEMORY, ETHERNET = "3", "4", "10"
"""`ResourceType` (source: DSP0243, CIM_ResourceAllocationSettingData)."""


def of_ovf(href: str, name: str, info: str, parent: etree._Element | None) -> etree._Element:
    """A section in OVF's namespace, by itself or in its VM. Its own address has Cloud Director's prefix."""
    element = root(name, OVF) if parent is None else put(parent, name, None, OVF)
    short = f"{name[0].lower()}{name[1:]}"
    element.set(f"{{{VCLOUD}}}href", f"{href}/{short}/")
    element.set(f"{{{VCLOUD}}}type", f"{MEDIA}{short}+xml")
    put(element, "Info", info, OVF)
    return element


def hardware(vm: Vm, href: str, parent: etree._Element | None = None) -> etree._Element:
    """An `ovf:VirtualHardwareSection`."""
    element = of_ovf(href, "VirtualHardwareSection", "Virtual hardware requirements", parent)
    system = put(element, "System", None, OVF)
    put(system, "ElementName", "Virtual Hardware Family", VSSD)
    put(system, "InstanceID", "0", VSSD)
    put(system, "VirtualSystemIdentifier", vm.name, VSSD)
    put(system, "VirtualSystemType", "vmx-19", VSSD)
    for nic in vm.seen("nics"):
        _card(put(element, "Item", None, OVF), nic, nic.index == vm.primary)
    _processors(put(element, "Item", None, OVF))
    _memory(put(element, "Item", None, OVF))
    link(element, "edit", f"{href}/virtualHardwareSection/", "virtualHardwareSection")
    return element


def hardware_item(vm: Vm, which: str) -> etree._Element:
    """`cpu` or `memory` as an `Item`; `networkCards` as a list of them."""
    if which == "networkCards":
        cards = root("RasdItemsList")
        for nic in vm.seen("nics"):
            _card(put(cards, "Item"), nic, nic.index == vm.primary)
        return cards
    item = root("Item")
    (_processors if which == "cpu" else _memory)(item)
    return item


def _card(item: etree._Element, nic: CloudNic, primary: bool) -> None:
    put(item, "Address", nic.mac, RASD)
    put(item, "AddressOnParent", str(nic.index), RASD)
    put(item, "AutomaticAllocation", word(nic.connected), RASD)
    connection = put(item, "Connection", nic.network or "none", RASD)
    connection.set(f"{{{VCLOUD}}}ipAddressingMode", str(nic.mode))
    if nic.address is not None:
        connection.set(f"{{{VCLOUD}}}ipAddress", str(nic.address))
    connection.set(f"{{{VCLOUD}}}primaryNetworkConnection", word(primary))
    put(item, "Description", f"{nic.adapter.capitalize()} ethernet adapter", RASD)
    put(item, "ElementName", f"Network adapter {nic.index}", RASD)
    put(item, "InstanceID", str(nic.index + 10), RASD)
    put(item, "ResourceSubType", nic.adapter, RASD)
    put(item, "ResourceType", ETHERNET, RASD)


def _processors(item: etree._Element) -> None:
    put(item, "AllocationUnits", "hertz * 10^6", RASD)
    put(item, "Description", "Number of Virtual CPUs", RASD)
    put(item, "ElementName", f"{CPUS} virtual CPU(s)", RASD)
    put(item, "InstanceID", "1", RASD)
    put(item, "ResourceType", PROCESSOR, RASD)
    put(item, "VirtualQuantity", str(CPUS), RASD)
    put(item, "CoresPerSocket", "1", VMW)


def _memory(item: etree._Element) -> None:
    put(item, "AllocationUnits", "byte * 2^20", RASD)
    put(item, "Description", "Memory Size", RASD)
    put(item, "ElementName", f"{MEMORY_MB} MB of memory", RASD)
    put(item, "InstanceID", "2", RASD)
    put(item, "ResourceType", MEMORY, RASD)
    put(item, "VirtualQuantity", str(MEMORY_MB), RASD)


def operating_system(vm: Vm, href: str, parent: etree._Element | None = None) -> etree._Element:
    """An `ovf:OperatingSystemSection`."""
    info = "Specifies the operating system installed"
    element = of_ovf(href, "OperatingSystemSection", info, parent)
    element.set(f"{{{OVF}}}id", "102")
    element.set(f"{{{VMW}}}osType", "other3xLinux64Guest")
    put(element, "Description", "Other 3.x Linux (64-bit)", OVF)
    link(element, "edit", f"{href}/operatingSystemSection/", "operatingSystemSection")
    return element


def customization(vm: Vm, href: str, parent: etree._Element | None = None) -> etree._Element:
    """A `GuestCustomizationSection`, which is off: a replica's guest is the original's."""
    here = f"{href}/guestCustomizationSection/"
    element = (
        root("GuestCustomizationSection") if parent is None else put(parent, "GuestCustomizationSection")
    )
    element.set("href", here)
    element.set("type", f"{MEDIA}guestCustomizationSection+xml")
    element.set(f"{{{OVF}}}required", "false")
    put(element, "Info", "Specifies Guest OS Customization Settings", OVF)
    for name, value in {
        "Enabled": "false",
        "ChangeSid": "false",
        "VirtualMachineId": vm.id,
        "JoinDomainEnabled": "false",
        "UseOrgSettings": "false",
        "AdminPasswordEnabled": "false",
        "AdminPasswordAuto": "true",
        "AdminAutoLogonEnabled": "false",
        "AdminAutoLogonCount": "0",
        "ResetPasswordRequired": "false",
        "ComputerName": vm.name,
    }.items():
        put(element, name, value)
    link(element, "edit", here, "guestCustomizationSection")
    return element
