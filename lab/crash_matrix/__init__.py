"""Every step of a failover, its undo and its compensation, with everything that can go wrong in it."""
