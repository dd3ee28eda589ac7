"""The lab's data plane: real network namespaces in a sandbox that dies whole, or a stand-in without any."""
