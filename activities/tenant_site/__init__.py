"""The steps of the role `tenant-site`: replication, the tenant's appliance, the watch."""
