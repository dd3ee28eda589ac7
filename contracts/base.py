"""What every contract has in common."""

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """Frozen, and closed: an unknown field is a mistake of the sender and is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
