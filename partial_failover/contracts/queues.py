"""Task queues: one for each role of a worker, and one for what waits for weeks."""

PROVIDER = "provider"
TENANT_SITE = "tenant-site"
TENANT_SITE_WATCH = "tenant-site-watch"
"""Of its own, so that failovers that are watched for weeks do not take the places of steps."""
