"""erp-db-01 and mail-01, on two networks, fail over at once through the same pair of appliances."""

import asyncio

from lab.stories import steps
from lab.stories.context import Figures, StoryContext

FIRST, SECOND = "erp-db-01", "mail-01"


async def run(context: StoryContext) -> Figures:
    """The appliances stay for the second when the first is undone, and go with the last."""
    before = await steps.accident(context, FIRST, SECOND)
    one, two = await asyncio.gather(context.fail_over(FIRST), context.fail_over(SECOND))
    await asyncio.gather(steps.in_failover(context, one), steps.in_failover(context, two))
    await asyncio.gather(steps.talk(context, FIRST), steps.talk(context, SECOND))
    await steps.others_as_before(context, before)
    deltas = [steps.write(context, vm) for vm in (FIRST, SECOND)]
    reports = [await steps.undone(context, one, deltas[0])]
    context.check(f"replication of {SECOND} is still held", context.held(SECOND))
    steps.appliances(context, "poweredOn")
    await steps.talk(context, SECOND)
    reports.append(await steps.undone(context, two, deltas[1]))
    await steps.all_as_before(context, before)
    for report in reports:
        context.show(report)
    return steps.figures(context, reports)
