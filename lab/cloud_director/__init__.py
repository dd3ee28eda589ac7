"""A Cloud Director of the lab: its XML API and the part of its OpenAPI that a failover needs."""

from lab.cloud_director.endpoint import CloudDirectorEndpoint
from lab.cloud_director.model import ALL_RIGHTS, NicSpec, Question

__all__ = ["ALL_RIGHTS", "CloudDirectorEndpoint", "NicSpec", "Question"]
