"""Back to Normal, as often as it takes: what a failover and a failover test share."""

from temporalio import workflow

from workflows.failover import Failover
from workflows.journal import Journal
from workflows.steps import refusal
from workflows.undo import Undo

with workflow.unsafe.imports_passed_through():
    from contracts.errors import BadRequest
    from contracts.replica import ReplicaState
    from contracts.request import Accepted, UndoRequest

LEFT_OVER = (
    'Something could not be taken back. Mend it and send the Update "retry_compensation"; or, when a person '
    'has put everything in order, send "accept_as_is". Replication stays on hold until then.'
)


class TakingBack:
    """A workflow that stays open as FailedFailover until nothing is left over, or a person accepts it."""

    def __init__(self, title: str) -> None:
        self._journal = Journal(title)
        self._left_over: tuple[str, ...] = ()
        self._mended = False
        self._accepted_as_is = False

    async def _take_back(self, failover: Failover) -> None:
        """Undo; again after a person mended what stood in the way."""
        undo = Undo(failover)
        while True:
            self._journal.enter(ReplicaState.PROCESSING, "The replica goes back to Normal.")
            await undo.take_back()
            self._left_over = tuple(undo.left_over)
            self._journal.enter(undo.state, self._page_end())
            if not self._left_over or failover.lost:
                return
            self._mended = False
            await workflow.wait_condition(lambda: self._mended or self._accepted_as_is)
            if self._accepted_as_is:
                return

    def _page_end(self) -> str:
        if not self._left_over:
            return "The replica is Normal, and replication goes on."
        return f"{LEFT_OVER} Left over: {'; '.join(self._left_over)}"

    @workflow.update(description="Try again to take back what is left over, after you mended it")
    def retry_compensation(self, request: UndoRequest | None = None) -> Accepted:
        """For FailedFailover."""
        self._mended = True
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
        if self._journal.state is not ReplicaState.FAILED_FAILOVER:
            fault = BadRequest(
                f"{self._journal.title} is {self._journal.state}; nothing is left over",
                left="Nothing was changed",
                do="There is nothing to do",
            )
            raise refusal(fault)
