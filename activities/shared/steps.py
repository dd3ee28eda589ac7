"""Methods that carry out steps: bound to a step's declaration, which the type checker holds them to."""

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, get_type_hints, overload

from temporalio import activity

from partial_failover.contracts.base import Contract
from partial_failover.contracts.step import Step

Group = TypeVar("Group", bound="StepGroup")
In = TypeVar("In", bound=Contract)
Out = TypeVar("Out", bound=Contract)

Activities = list[Callable[..., Any]]  # Any: each step has an input and a result of its own


class StepGroup:
    """Base of a class whose methods carry out steps."""

    def activities(self, queue: str) -> Activities:
        """Its steps, for the Worker of that task queue. Refuses one that is declared for another."""
        methods = [method for method in vars(type(self)).values() if hasattr(method, "carries_out")]
        for method in methods:
            if method.carries_out.queue != queue:
                raise TypeError(f"{method.__qualname__} is a step of {method.carries_out.queue}, not {queue}")
        return [getattr(self, method.__name__) for method in methods]


class carries_out(Generic[In, Out]):
    """The method, sync or async, is the activity of the step. Refuses at import what differs from its
    declaration by more than the type checker sees: a base class of its input, say."""

    def __init__(self, step: Step[In, Out]) -> None:
        self._step = step

    @overload
    def __call__(
        self, method: Callable[[Group, In], Coroutine[Any, Any, Out]]
    ) -> Callable[[Group, In], Coroutine[Any, Any, Out]]: ...

    @overload
    def __call__(self, method: Callable[[Group, In], Out]) -> Callable[[Group, In], Out]: ...

    def __call__(self, method: Any) -> Any:  # Any: one of the above
        hints = get_type_hints(method)
        declared = {self._step.input, self._step.result}
        if set(hints.values()) != declared:
            raise TypeError(f"{method.__qualname__} is not {self._step.name} as declared: {declared}")
        defined = activity.defn(name=self._step.name, no_thread_cancel_exception=True)(method)
        defined.carries_out = self._step
        return defined
