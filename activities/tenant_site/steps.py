"""Steps of the role `tenant-site`."""

from activities.shared.steps import In, Out, StepGroup, carries_out
from activities.tenant_site.site import Site
from partial_failover.contracts.step import TenantSiteStep, TenantSiteWatchStep


class TenantSiteSteps(StepGroup):
    """Some of them, for one tenant."""

    def __init__(self, site: Site) -> None:
        self.site = site


def tenant_site_step(step: TenantSiteStep[In, Out] | TenantSiteWatchStep[In, Out]) -> carries_out[In, Out]:
    """Marks the method that carries out this step."""
    return carries_out(step)
