"""MoRefs of what every lab vCenter has: one datacenter with its folders."""

ROOT, DATACENTER, VM_FOLDER, NETWORK_FOLDER = "group-d1", "datacenter-2", "group-v3", "group-n5"
