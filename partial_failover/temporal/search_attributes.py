"""The one registry of search attributes: applied when a namespace is provisioned, checked at worker start.

One that is not registered would hang a workflow with nothing in its history.
"""

from temporalio.common import SearchAttributeKey

REPLICA_STATE = SearchAttributeKey.for_keyword("ReplicaState")
"""State of the replica: `ReplicaState = "Failover"` lists all replicas in Failover."""
ORIGINAL_VM = SearchAttributeKey.for_keyword("OriginalVm")
"""Name of the original VM."""
FAILOVER_TEST_RESULT = SearchAttributeKey.for_keyword("FailoverTestResult")
"""How a failover test ended: `FailoverTestResult = "failed"` lists all tests that failed."""

REGISTRY = {key.name: "Keyword" for key in (REPLICA_STATE, ORIGINAL_VM, FAILOVER_TEST_RESULT)}
"""Name → type, as `temporal operator search-attribute create` takes them."""
