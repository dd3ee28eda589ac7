"""What the command of a worker does with its file: serve, or check; and with which exit code it ends."""

import asyncio
import logging
import sys
from pathlib import Path

from temporalio.service import RPCError

from partial_failover.contracts.errors import FailoverError, Misconfigured
from partial_failover.monitoring import logs
from partial_failover.process import lifecycle
from partial_failover.process.serve import Compose, serve
from partial_failover.settings import BadSettings, load
from partial_failover.site_check.check import check, table
from partial_failover.temporal.namespaces import NotProvisioned

log = logging.getLogger("worker")


def run(config: Path, only_check: bool, compose: Compose, prove_hold: str = "") -> int:
    """Exit code 2: the settings or the namespaces are not in order; 1: something that it needs does not
    answer, and nothing was started, or a worker failed for good. With `only_check`, 1: something was found
    that would stand in the way."""
    logs.configure(logging.ERROR if only_check else logging.INFO)
    try:
        settings = load(config)
        if only_check:
            findings = asyncio.run(check(settings, prove_hold))
            sys.stdout.write(table(findings))
            return int(any(not f.good for f in findings))
        return lifecycle.run(serve(settings, compose))
    except (BadSettings, NotProvisioned, Misconfigured) as error:
        return _refused(str(error), 2, only_check)
    except (FailoverError, OSError) as error:
        return _refused(str(error), 1, only_check)
    except RPCError as error:
        text = f"Temporal answered {error.status.name}: {error.message[:300]}. Check the worker's token"
        return _refused(text, 1, only_check)
    except Exception:
        log.exception("ended by an error of its own")
        return 1


def _refused(text: str, code: int, to_a_person: bool) -> int:
    """A service's every line is JSON; a person reads the words."""
    if to_a_person or sys.stderr.isatty():
        sys.stderr.write(f"{text}\n")
    else:
        log.error("%s", text)
    return code
