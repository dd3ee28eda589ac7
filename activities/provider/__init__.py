"""The steps of the role `provider`: the replica, its snapshots, the provider's appliance."""
