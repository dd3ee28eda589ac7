"""Steps of the role `provider`."""

from activities.provider.tenant import ProviderTenant
from activities.shared.steps import In, Out, StepGroup, carries_out
from partial_failover.contracts.step import ProviderStep, ProviderWatchStep


class ProviderSteps(StepGroup):
    """Some of them, for one tenant. Those that are not async block a thread: the clients behind do."""

    def __init__(self, tenant: ProviderTenant) -> None:
        self.tenant = tenant


def provider_step(step: ProviderStep[In, Out] | ProviderWatchStep[In, Out]) -> carries_out[In, Out]:
    """Marks the method that carries out this step."""
    return carries_out(step)
