"""erp-db-01 is corrupted. Its replica takes its place on the production network, and leaves it again."""

from lab.stories import acts
from lab.stories.stage import Figures, Stage

VM = "erp-db-01"


async def play(stage: Stage) -> Figures:
    """From the accident to the state that was before it."""
    before = await acts.accident(stage, VM)
    running = await stage.fail_over(VM)
    await acts.in_failover(stage, running)
    acts.appliances(stage, "poweredOn")
    await acts.talk(stage, VM)
    await acts.others_as_before(stage, before)
    delta = acts.write(stage, VM)
    report = await acts.undone(stage, running, delta)
    await acts.all_as_before(stage, before)
    stage.show(report)
    return acts.figures(stage, [report])
