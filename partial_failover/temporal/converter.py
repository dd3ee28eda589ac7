"""Bad JSON from a person fails at once with the field's name and a right example.

With the stock converter it fails the workflow task for ever while the Web UI says Running. That is right for
everything else, and only for that: an answer of a worker of another version must not end a failover, so the
task is tried again until one of the two workers is replaced.
"""

import json
from typing import Any

from pydantic import BaseModel, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)
from temporalio.exceptions import ApplicationError

from partial_failover.contracts.base import UserInput


class StrictJson(PydanticJSONPlainPayloadConverter):
    """A `UserInput` that does not fit is an `ApplicationError`, which is never retried."""

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:  # Any: as declared
        try:
            return super().from_payload(payload, type_hint)
        except ValidationError as error:
            if _is_request(type_hint):
                raise bad_input(error, type_hint) from None
            raise


def bad_input(error: ValidationError, type_hint: type | None) -> ApplicationError:
    """Name every field that does not fit, and show a right example."""
    fields = [
        {"field": ".".join(str(part) for part in e["loc"]) or "(the whole input)", "says": e["msg"][:200]}
        for e in error.errors(include_url=False, include_input=False)[:10]
    ]
    text = "; ".join(f"{f['field'][:100]}: {f['says']}" for f in fields)
    example = _example(type_hint)
    hint = f" A right example: {example}" if example else ""
    return ApplicationError(
        f"The input does not fit. {text}. Nothing was changed.{hint}",
        fields,
        type="PayloadValidationError",
        non_retryable=True,
    )


def _is_request(type_hint: type | None) -> bool:
    return any(issubclass(model, UserInput) for model in _models(type_hint))


def _models(type_hint: type | None) -> list[type[BaseModel]]:
    """The model, or those of `Model | None`."""
    candidates = getattr(type_hint, "__args__", (type_hint,))
    return [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]


def _example(type_hint: type | None) -> str:
    for candidate in _models(type_hint):
        extra = candidate.model_config.get("json_schema_extra")
        if isinstance(extra, dict) and "example" in extra:
            return json.dumps(extra["example"])
    return ""


class StrictConverter(CompositePayloadConverter):
    """The default converters, with `StrictJson` in place of plain JSON."""

    def __init__(self) -> None:
        strict = StrictJson()
        super().__init__(
            *(
                strict if isinstance(c, JSONPlainPayloadConverter) else c
                for c in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


data_converter = DataConverter(payload_converter_class=StrictConverter)
"""Given to every client and worker of the product."""
