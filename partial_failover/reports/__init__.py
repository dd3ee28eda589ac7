"""A failover test's report as one page that a tenant can hand to an auditor."""

from partial_failover.reports.page import page

__all__ = ["page"]
