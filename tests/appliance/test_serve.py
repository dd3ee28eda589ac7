"""What `serve` does without root: it never waits for a request, which may be waiting for it."""

import json
import time
from pathlib import Path

from appliance.serve import BUSY_SECONDS, Serve
from appliance.state import State


def state(folder: Path) -> State:
    (folder / "config.json").write_text(json.dumps({"role": "tenant", "management": "00:50:56:01:02:01"}))
    return State(folder, folder / "run")


def test_serve_does_not_wait_for_the_lock(tmp_path: Path) -> None:
    """Its control socket takes few messages, and a request that holds the lock may be about to send one."""
    held = state(tmp_path)
    serve = Serve(State(tmp_path, tmp_path / "run"))
    with held.lock():
        begin = time.monotonic()
        serve._apply()
        assert time.monotonic() - begin < 1
    assert begin < serve.apply_at <= time.monotonic() + BUSY_SECONDS, "it looks again soon"
