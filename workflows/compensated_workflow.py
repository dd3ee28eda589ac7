"""Back to Normal, as often as it takes: what a failover and a failover test share."""

from temporalio import workflow

from workflows.compensation import Compensation
from workflows.failover import Failover
from workflows.failures import refusal
from workflows.progress import Progress

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts.errors import BadRequest
    from partial_failover.contracts.replica import ReplicaState
    from partial_failover.contracts.request import Accepted, UndoRequest

LEFT_OVER = (
    'Something could not be taken back. Repair it and send the Update "retry_compensation"; or, when a '
    'person has put everything in order, send "accept_as_is". Replication stays on hold until then.'
)


class CompensatedWorkflow:
    """A workflow that stays open as FailedFailover until nothing is left over, or a person accepts it."""

    def __init__(self, title: str) -> None:
        self._progress = Progress(title)
        self._left_over: tuple[str, ...] = ()
        self._repaired = False
        self._accepted_as_is = False

    async def _compensate(self, failover: Failover) -> None:
        """Undo; again after a person repaired what stood in the way."""
        undo = Compensation(failover)
        while True:
            self._progress.enter(ReplicaState.PROCESSING, "The replica goes back to Normal.")
            await undo.run()
            self._left_over = tuple(undo.left_over)
            self._progress.enter(undo.state, self._page_end(failover.lost))
            if not self._left_over or failover.lost:
                return
            self._repaired = False
            await workflow.wait_condition(lambda: self._repaired or self._accepted_as_is)
            if self._accepted_as_is:
                return

    def _page_end(self, lost: bool) -> str:
        if not self._left_over:
            return "The replica is Normal, and replication goes on."
        if lost:
            return (
                f'{"; ".join(self._left_over).rstrip(".")}. Start another failover of it with "adopt": true.'
            )
        return f"{LEFT_OVER} Left over: {'; '.join(self._left_over)}"

    @workflow.update(description="Try again to take back what is left over, after you repaired it")
    def retry_compensation(self, request: UndoRequest | None = None) -> Accepted:
        """For FailedFailover."""
        self._repaired = True
        return Accepted(message="What is left over is tried again.")

    @workflow.update(description="End it: a person has put everything in order")
    def accept_as_is(self, request: UndoRequest | None = None) -> Accepted:
        """For FailedFailover. Nothing more is changed; replication stays on hold."""
        self._accepted_as_is = True
        return Accepted(message="The workflow ends; what is left over stays as it is.")

    @retry_compensation.validator
    def _may_retry(self, request: UndoRequest | None = None) -> None:
        self._require_failed()

    @accept_as_is.validator
    def _may_accept(self, request: UndoRequest | None = None) -> None:
        self._require_failed()

    def _require_failed(self) -> None:
        if self._progress.state is not ReplicaState.FAILED_FAILOVER:
            error = BadRequest(
                f"{self._progress.title} is {self._progress.state}; nothing is left over",
                left="Nothing was changed",
                do="There is nothing to do",
            )
            raise refusal(error)
