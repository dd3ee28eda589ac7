"""erp-db-01 and mail-01, on two networks, fail over at once through the same pair of appliances."""

import asyncio

from lab.stories import acts
from lab.stories.stage import Figures, Stage

FIRST, SECOND = "erp-db-01", "mail-01"


async def play(stage: Stage) -> Figures:
    """The appliances stay for the second when the first is undone, and go with the last."""
    before = await acts.accident(stage, FIRST, SECOND)
    one, two = await asyncio.gather(stage.fail_over(FIRST), stage.fail_over(SECOND))
    await asyncio.gather(acts.in_failover(stage, one), acts.in_failover(stage, two))
    await asyncio.gather(acts.talk(stage, FIRST), acts.talk(stage, SECOND))
    await acts.others_as_before(stage, before)
    deltas = [acts.write(stage, vm) for vm in (FIRST, SECOND)]
    reports = [await acts.undone(stage, one, deltas[0])]
    stage.check(f"replication of {SECOND} is still held", stage.held(SECOND))
    acts.appliances(stage, "poweredOn")
    await acts.talk(stage, SECOND)
    reports.append(await acts.undone(stage, two, deltas[1]))
    await acts.all_as_before(stage, before)
    for report in reports:
        stage.show(report)
    return acts.figures(stage, reports)
