"""What every contract has in common."""

from pydantic import BaseModel, ConfigDict, Field

UNLESS_EMPTY = Field(exclude_if=lambda value: not value)
"""Of a field that few have: histories, and what is remembered, stay short."""


class Contract(BaseModel):
    """Frozen, and closed: an unknown field is a mistake of the sender and is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UserInput(Contract):
    """What a person types. One that does not fit ends in a failure at once, with a right example; anything
    else that does not fit is a worker of another version, and is tried again until that is repaired."""
