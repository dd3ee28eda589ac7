"""Partial site failover to VMware Cloud Director: everything of the product but its workflows and steps."""
