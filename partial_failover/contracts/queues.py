"""Task queues: one for each role of a worker, and one more for what waits for weeks."""

PROVIDER = "provider"
TENANT_SITE = "tenant-site"
TENANT_SITE_WATCH = "tenant-site-watch"
PROVIDER_WATCH = "provider-watch"
"""Of their own, so that failovers that are watched for weeks do not take the places of steps."""
