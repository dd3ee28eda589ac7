"""Stories that are played in the lab and checked as they go. A new one is a module and a line here."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lab.stories import cut_tunnel, failover_test, onboard_tenant, one_vm, two_vms
from lab.stories.context import Figures, StoryContext


@dataclass(frozen=True)
class Story:
    """`tells`: one line about it. `run` answers the figures of its last line."""

    tells: str
    run: Callable[[StoryContext], Awaitable[Figures]]


STORIES = {
    "one-vm": Story("One corrupted VM fails over; production talks to its replica; undo", one_vm.run),
    "two-vms": Story("Two VMs at once share the appliances; one is undone, then the other", two_vms.run),
    "cut-tunnel": Story(
        "In Failover the tunnel is cut and the hold is ended by people; both are repaired", cut_tunnel.run
    ),
    "failover-test": Story(
        "A replica is tested in isolation while production runs; then one that fails", failover_test.run
    ),
    "onboard-tenant": Story(
        "A tenant from nothing to a finished failover, by the commands of docs/operations.md",
        onboard_tenant.run,
    ),
}
