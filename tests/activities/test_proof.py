"""Replication is released only against a proof that the provider's worker signed, as it signed it."""

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from activities.shared.proof import ProofKey
from lab.fabric.provision import worker_key
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.queues import TENANT_SITE
from partial_failover.contracts.run import WorkflowRun
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import NormalProof
from tests.activities.world import Values, World

RELEASE = f"{TENANT_SITE}/{StepName.RELEASE_REPLICATION}"
HOLD = f"{TENANT_SITE}/{StepName.HOLD_REPLICATION}"


async def held(world: World) -> tuple[Values, NormalProof]:
    """A failover holds its replication, and has a proof that would release it."""
    values = await world.values("acme", "erp-db-01")
    await world.call(HOLD, values)
    proof = values["proof"]
    assert isinstance(proof, NormalProof)
    return values, proof


async def refused(world: World, values: Values, proof: NormalProof, why: str) -> None:
    before = world.centre.state()
    with pytest.raises(WrongState, match=why):
        await world.call(RELEASE, {**values, "proof": proof})
    assert world.centre.state() == before


async def test_a_proof_that_nobody_signed_releases_nothing(world: World) -> None:
    values, proof = await held(world)
    for signature in ("", "AAAA", "not base64 (", base64.b64encode(bytes(64)).decode()):
        await refused(world, values, proof.model_copy(update={"signature": signature}), "not signed")
    assert (await world.call(RELEASE, values)).changed


async def test_another_key_is_not_believed(world: World, tmp_path: Path) -> None:
    values, proof = await held(world)
    file = tmp_path / "key"
    other = ProofKey(file, worker_key(file))
    await refused(world, values, other.signed(proof), "not signed")
    await world.call(RELEASE, values)


async def test_nothing_of_a_signed_proof_can_be_changed(world: World) -> None:
    values, proof = await held(world)
    later = proof.model_copy(update={"read_at": proof.read_at + timedelta(minutes=5)})
    await refused(world, values, later, "not signed")
    other = WorkflowRun(workflow_id="another", run_id="another")
    taken = proof.model_copy(update={"run": other})
    await refused(world, {**values, "run": other}, taken, "not signed")
    await world.call(RELEASE, values)


async def test_a_key_follows_another(world: World, tmp_path: Path) -> None:
    """While it does, the tenant's worker believes both."""
    values, proof = await held(world)
    file = tmp_path / "key"
    new = ProofKey(file, worker_key(file))
    steps = world.process.lists["acme", TENANT_SITE]
    site = next(s.__self__.site for s in steps if s.__name__ == "release_replication")  # type: ignore[attr-defined]
    before = site.proof_keys
    site.proof_keys = (*before, new.public)
    try:
        assert (await world.call(RELEASE, {**values, "proof": new.signed(proof)})).changed
    finally:
        site.proof_keys = before
