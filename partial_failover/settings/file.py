"""Reading the file, and saying everything that is wrong with it at once."""

from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any  # Any: what YAML holds

import yaml
from pydantic import Field, RootModel, ValidationError

from partial_failover.settings.consistency import contradictions
from partial_failover.settings.models import WorkerSettings


class BadSettings(Exception):
    """The file cannot be used; the text names every problem with its path."""


class _File(RootModel[Annotated[WorkerSettings, Field(discriminator="role")]]):
    """The whole file: which settings it may hold depends on its role."""


class _Loader(yaml.SafeLoader):
    """YAML lets the last of two equal keys win without a word: half of the tenants would be gone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.MarkedYAMLError(problem=f"{twice[0]} is set twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def load(file: Path, without_files: bool = False) -> WorkerSettings:
    """Read and check the file. Raises `BadSettings` with all problems at once.

    `without_files`: on another machine than the worker's, which has none of the files and secrets that are
    named; whoever reads one there finds out then.
    """
    data, context = _read(file), {"without_files": without_files}
    try:
        loaded, problems = _File.model_validate(data, context=context).root, list[tuple[str, str]]()
    except ValidationError as error:
        loaded, problems = None, _problems(error)
    problems += contradictions(data)
    if loaded is None or problems:
        raise BadSettings("\n".join([f"{file}:", *(f"  {path}: {what}" for path, what in problems)]))
    return loaded


def _read(file: Path) -> Any:
    try:
        return yaml.load(file.read_text("utf-8"), _Loader)
    except OSError as error:
        raise BadSettings(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadSettings(f"{file}: is not text in UTF-8") from error
    except yaml.YAMLError as error:
        raise BadSettings(f"{file}: is not YAML: {error}") from error


def _problems(error: ValidationError) -> list[tuple[str, str]]:
    """Path and what is wrong there. Without what follows from another: a list none of whose entries is right
    is also said to be too short."""
    problems = error.errors(include_url=False, include_input=False)
    inside = {tuple(e["loc"][:n]) for e in problems for n in range(len(e["loc"]))}
    own = [e for e in problems if e["type"] != "too_short" or e["loc"] not in inside]
    return [(".".join(map(str, e["loc"][1:])) or "file", e["msg"].removeprefix("Value error, ")) for e in own]
