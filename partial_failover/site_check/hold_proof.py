"""`--check --prove-hold <vm>`: a hold is tried for real. The one look that changes something, for a while."""

from time import monotonic

from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.veeam import Veeam
from partial_failover.connectors.veeam.hold_proof import UNTOUCHED, Run
from partial_failover.contracts.errors import FailoverError, WrongState
from partial_failover.site_check.findings import Doubtful

OWNER = "prove-hold"
RUN, TAKING_BACK = 3600.0, 120.0
"""Seconds for the run of the job, and for taking the exclusion back."""


async def prove(backup: Veeam, vm: str) -> str:
    """Exclude the VM, run its replication job, see whether the VM is skipped, and take the exclusion back.

    Returns a sentence where it was. Raises `Doubtful` where nothing is proven, `RuntimeError` where it was
    replicated all the same, or the exclusion could not be taken back; other errors say what was left.
    """
    target = await backup.find_target(vm)
    existing = await backup.hold_of(target)
    if existing is not None:
        raise WrongState(
            f"{vm} is excluded already (note: {existing.note or 'none'}), perhaps by a failover that runs",
            left=UNTOUCHED,
            do="Try it with another VM, or when it is not excluded",
        )
    states = {record.state for record in await backup.replicas_of(vm)} - {"", "ready"}
    if states:
        raise WrongState(
            f"A replica of {vm} is in state {', '.join(sorted(states))}",
            left=UNTOUCHED,
            do="Try it when its replicas are Ready",
        )
    job, attempt, unsure = await backup.idle_job(target), Attempt(monotonic() + RUN), True
    try:
        ours, unsure = await backup.hold(target, OWNER, attempt), False
        run = await backup.run_once(target, job, attempt) if ours else None
    except FailoverError as error:
        raise RuntimeError(f"Nothing is proven: {error} {await _taken_back(backup, vm, unsure)}") from error
    except BaseException:  # Ctrl-C
        await _taken_back(backup, vm, unsure)
        raise
    if run is None:
        raise WrongState(f"Somebody excluded {vm} in this moment", left=UNTOUCHED)
    return _said(run, vm, await _taken_back(backup, vm, unsure))


async def _taken_back(backup: Veeam, vm: str, unsure: bool) -> str:
    """Says so. Raises `RuntimeError` where the exclusion is still there, or may be."""
    try:
        target = await backup.find_target(vm)
        await backup.release(target, OWNER, Attempt(monotonic() + TAKING_BACK), unsure)
        left = await backup.hold_of(target)
    except FailoverError as error:
        why = str(error)
    else:
        if left is None:
            return f"{vm} is excluded no more."
        why = f"one with the note {left.note or '(none)'} is there"
    raise RuntimeError(
        f"The exclusion of {vm} may be left, and while it is there nothing is replicated: {why} "
        "Look at the global exclusions in the backup console, and delete it"
    )


def _said(run: Run, vm: str, taken_back: str) -> str:
    if run.reached:
        stopped = "was asked to stop, and has" if run.ended else "was asked to stop, and RUNS STILL"
        raise RuntimeError(
            f"A hold does not hold: {run.job} processed {vm} although it was excluded. The job {stopped}; "
            f"{vm} may have one more restore point. {taken_back} Do not fail over with this backup server"
        )
    if not run.ended:
        raise Doubtful(f"Nothing is proven: {run.job} did not end in time and runs still. {taken_back}")
    if run.result == "failed" and not run.others:
        raise Doubtful(f"Nothing is proven: the run of {run.job} failed before it came to a VM. {taken_back}")
    others = f" and processed {run.others} others" if run.others else ""
    return f"{run.job} ran, left {vm} out{others}. {taken_back}"
