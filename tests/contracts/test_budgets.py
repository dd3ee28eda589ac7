"""Retry budgets as arithmetic: attempts fit into the whole, and the margin of the fence fits into both."""

from datetime import timedelta

import pytest

from activities.shared.attempt import MARGIN
from activities.shared.fence import PATIENCE
from activities.tenant_site.release_replication import PROOF_LASTS
from partial_failover.connectors.attempt import FRESH
from partial_failover.contracts import steps
from partial_failover.contracts.check import LONGEST_CHECK
from partial_failover.contracts.step import Budget
from partial_failover.contracts.steps import HEARTBEAT
from partial_failover.settings import TenantSiteSettings

PAUSES = timedelta(seconds=1 + 2 + 4)
"""Before the second, third and fourth attempt."""
SLOWEST_CALL = timedelta(seconds=30)
BUDGETS = {name: value for name, value in vars(steps).items() if isinstance(value, Budget)}


@pytest.mark.parametrize("name", BUDGETS)
def test_attempts_fit_into_the_whole(name: str) -> None:
    budget = BUDGETS[name]
    attempts = budget.tries or 2
    assert attempts * budget.attempt + PAUSES <= budget.whole


@pytest.mark.parametrize("name", BUDGETS)
def test_an_attempt_has_time_for_its_slowest_call_before_it_stops_acting(name: str) -> None:
    assert BUDGETS[name].attempt - MARGIN >= SLOWEST_CALL


def test_what_is_sent_last_arrives_before_another_attempt_may_run() -> None:
    assert timedelta(seconds=PATIENCE) <= MARGIN
    assert timedelta(seconds=FRESH) <= MARGIN
    assert timedelta(seconds=FRESH) < HEARTBEAT


def test_a_run_in_flight_is_waited_for_and_stopped_in_one_attempt() -> None:
    [limit] = [m.le for m in TenantSiteSettings.model_fields["drain_patience"].metadata if hasattr(m, "le")]
    assert limit + timedelta(minutes=5) + MARGIN <= steps.HOLD.attempt


def test_a_proof_outlives_the_release_that_it_is_for() -> None:
    assert steps.RELEASE.whole < PROOF_LASTS


def test_compensations_are_retried_far_longer_than_steps() -> None:
    assert steps.BACKWARD.whole >= 10 * steps.FORWARD.whole


def test_a_check_is_declared_with_the_longest_time_that_a_request_may_give_it() -> None:
    """No attempt lasts longer than its step's declared budget, whatever it was scheduled with."""
    longest = steps.check_budget(LONGEST_CHECK).attempt
    assert steps.CHECK_GUEST.budget.attempt >= longest
