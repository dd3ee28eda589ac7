"""The command `partial-failover`: what operators and tenants run by hand."""
