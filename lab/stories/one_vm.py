"""erp-db-01 is corrupted. Its replica takes its place on the production network, and leaves it again."""

from lab.stories import steps
from lab.stories.context import Figures, StoryContext


async def run(context: StoryContext) -> Figures:
    """At a tenant with appliances on both sides."""
    return await fail_over(context, "erp-db-01")


async def fail_over(context: StoryContext, vm: str) -> Figures:
    """From the accident to the state that was before it."""
    before = await steps.accident(context, vm)
    running = await context.fail_over(vm)
    await steps.in_failover(context, running)
    steps.appliances(context, "poweredOn")
    await steps.talk(context, vm)
    await steps.others_as_before(context, before)
    delta = steps.write(context, vm)
    report = await steps.undone(context, running, delta)
    await steps.all_as_before(context, before)
    context.show(report)
    return steps.figures(context, [report])
