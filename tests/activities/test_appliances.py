"""An appliance that another failover's end switched off is not waited for in vain."""

import pytest

from activities.shared.appliances import unless_switched_off
from partial_failover.contracts.errors import ApplianceChanged, Busy, Unavailable
from partial_failover.contracts.replica import Power


@pytest.mark.parametrize(
    ("power", "fault"),
    [(Power.ON, Unavailable), (Power.OFF, ApplianceChanged), (Power.OTHER, ApplianceChanged)],
)
def test_no_answer_of_one_that_is_off_means_that_its_side_starts_over(
    power: Power, fault: type[Exception]
) -> None:
    with pytest.raises(fault), unless_switched_off(lambda: power):
        raise Unavailable("The appliance did not answer")


def test_other_faults_pass() -> None:
    with pytest.raises(Busy), unless_switched_off(lambda: Power.OFF):
        raise Busy("another request is at work")


def test_an_answer_asks_for_no_power_state() -> None:
    asked: list[str] = []
    with unless_switched_off(lambda: asked.append("power") or Power.OFF):  # type: ignore[func-returns-value]
        pass
    assert asked == []
