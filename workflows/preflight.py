"""Preflight: the provider's side and the tenant's side are asked; all that is wrong is said at once."""

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

from workflows.failures import refusal, root_cause
from workflows.progress import Progress
from workflows.replica_points import agreement
from workflows.run import this_run

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.errors import NotReady, Who
    from partial_failover.contracts.network import at_a_spare, misfits
    from partial_failover.contracts.plan import (
        Extension,
        FailoverPlan,
        PlanInput,
        PlanResult,
        Problem,
        TenantSite,
        TenantSiteInput,
    )
    from partial_failover.contracts.request import PartialFailoverRequest


async def look(
    progress: Progress, request: PartialFailoverRequest
) -> tuple[FailoverPlan | None, TenantSite, tuple[Problem, ...]]:
    """Everything that can be known before anything is touched. Changes nothing."""
    asked = PlanInput(request=request, run=this_run())
    try:
        answer = await progress.run(steps.PLAN_FAILOVER, asked, f"Check {request.vm} at the provider")
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        answer = PlanResult(plan=None, problems=(_no_answer(error, Who.PROVIDER, "provider"),))
    plan = answer.plan
    site_input = TenantSiteInput(
        vm=plan.vm if plan else request.vm,
        extension=plan.side.extension if plan else Extension.APPLIANCE,
        networks=tuple(lease.network for lease in plan.leases) if plan else (),
        original_may_run=request.original_may_run,
        proof_key=plan.side.proof_key if plan else None,
    )
    try:
        title = f"Check {request.vm} at the tenant's site"
        site = await progress.run(steps.CHECK_TENANT_SITE, site_input, title)
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        site = TenantSite(problems=(_no_answer(error, Who.TENANT, "tenant-site"),))
    problems = [*answer.problems, *site.problems]
    if plan is not None:
        problems += ends_fit(plan, site)
        blocking, cautions = agreement(plan, site)
        problems += blocking
        warnings = (*site.warnings, *cautions, *_excluded(plan, site))
        site = site.model_copy(update={"warnings": warnings})
    return plan, site, tuple(problems)


def _excluded(plan: FailoverPlan, site: TenantSite) -> list[str]:
    """A replica that no failover has, and whose original is not replicated all the same."""
    if not site.excluded or plan.adoption is not None:
        return []
    if site.held:
        return [
            f"Replication of {plan.vm} is still on hold by a failover that was ended from outside before it "
            "could release it; the undo of a new failover, or the end of a failover test, releases it"
        ]
    return [f"Somebody excluded {plan.vm} from all jobs: it is not replicated, and this stays as it is"]


async def preflight(progress: Progress, request: PartialFailoverRequest) -> tuple[FailoverPlan, TenantSite]:
    """The plan, or one failure that names all problems. Nothing was touched in either case."""
    plan, site, problems = await look(progress, request)
    if plan is None or problems:
        raise not_ready(request.vm, problems)
    for warning in (*plan.warnings, *site.warnings):
        progress.warn(warning)
    return plan, site


def not_ready(vm: str, problems: tuple[Problem, ...]) -> ApplicationError:
    """All problems in one failure that says who must do what."""
    listed = " ".join(
        f"({n}) {p.what.rstrip('.')}. {p.do.rstrip('.')} ({p.who})." for n, p in enumerate(problems, 1)
    )
    error = NotReady(f"{vm} cannot be failed over now: {listed}", left="Nothing was changed")
    details = [p.model_dump(mode="json") for p in problems]
    return refusal(error, details)


def _no_answer(error: ActivityError, side: Who, role: str) -> Problem:
    """Why a side could not be looked at, and who must act: as the step says it, where it said anything."""
    if isinstance(error.cause, TimeoutError) and error.cause.type is TimeoutType.SCHEDULE_TO_START:
        what = f"No {role} worker took the check"
        return Problem(what=what, who=side, do=f"Start the {role} worker")
    cause = root_cause(error)
    if cause.details is None:
        what = f"The {side}'s side could not be looked at: {cause.message}"
        return Problem(what=what, who=side, do=f"Look at the {role} worker and the systems that it needs")
    details = cause.details
    who = side if details.who is Who.NOBODY else details.who
    return Problem(what=details.happened, who=who, do=details.do or "Repair it, then start again")


def ends_fit(plan: FailoverPlan, site: TenantSite) -> list[Problem]:
    """Each end of the tunnel that is the product's must know how to find the other."""
    return _other_end(plan, site) + _way_to_it(plan, site) + _tenant_addresses(plan, site)


def _tenant_addresses(plan: FailoverPlan, site: TenantSite) -> list[Problem]:
    """What the tenant's appliance would refuse later, or would share with the provider's."""
    shared = [
        f"{spare} on {name} is the provider's appliance's too"
        for name, spare in site.spares.items()
        if plan.side.spares.get(name) == spare
    ]
    unfit = [*misfits(plan.networks, site.spares), *at_a_spare(plan.leases, site.spares), *shared]
    do = "Correct the network, or the address in the tenant-site worker's settings (appliance.networks)"
    what = "The tenant's appliance cannot extend the networks"
    return [Problem(what=f"{what}: {why}", who=Who.PROVIDER, do=do) for why in unfit]


def _way_to_it(plan: FailoverPlan, site: TenantSite) -> list[Problem]:
    """The tenant's appliance dials. Without a tunnel it would answer for replicas that it cannot reach."""
    dials = site.appliance and plan.side.extension is Extension.APPLIANCE
    if not dials or plan.side.gateway is not None:
        return []
    return [
        Problem(
            what="The tenant has an appliance, but no cloud gateway is set that it could dial",
            who=Who.PROVIDER,
            do="Set gateway for this tenant in the provider worker's settings",
        )
    ]


def _other_end(plan: FailoverPlan, site: TenantSite) -> list[Problem]:
    """Where only one end is the product's, the other end's fingerprint must be configured."""
    alone = plan.side.appliance != site.appliance
    if plan.side.extension is not Extension.APPLIANCE or not alone or plan.side.peer_fingerprint:
        return []
    missing = "provider" if site.appliance else "tenant"
    return [
        Problem(
            what=f"Only one end of the tunnel has an appliance; the {missing}'s end is not known",
            who=Who.PROVIDER,
            do="Set peer_fingerprint for this tenant, or set up the missing appliance",
        )
    ]
