"""`python -m lab.crash_matrix`: play every case, in several labs side by side; ends non-zero if one fails."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

from lab.child import dies_with_parent
from lab.crash_matrix.bench import Bench, Outcome
from lab.crash_matrix.cases import Case, Phase, cases

LOG, CALLS = 40_000, 1000
"""Characters of each worker's log, and calls, that are kept of a case that failed."""
TRIES = 3
"""A case whose fault had its moment never, or in another step, because calls of side-by-side steps came in
another order, is played again so often."""


async def all_cases() -> list[Case]:
    """From clean runs, in an order that mixes slow and fast ones."""
    with tempfile.TemporaryDirectory() as folder:
        async with Bench(Path(folder)) as bench:
            learnt = list(cases(await bench.learn()))
    return sorted(learnt, key=lambda c: crc32(str(c).encode()))


async def part() -> None:
    """A child: cases come on standard input, outcomes go to standard output, a line each."""
    wanted = [Case.from_json(c) for c in json.loads(sys.stdin.readline())]
    while wanted:
        with tempfile.TemporaryDirectory() as folder:
            async with Bench(Path(folder)) as bench:
                await bench.log_in()
                if not await _play_all(bench, wanted):
                    _save_logs(bench)  # and go on in a new lab: this one is not Normal any more


async def _play_all(bench: Bench, wanted: list[Case]) -> bool:
    tried: dict[Case, int] = defaultdict(int)
    while wanted:
        chosen = _next(wanted)
        for case, outcome in zip(chosen, await bench.run(chosen), strict=True):
            tried[case] += 1
            if not outcome.reached and not outcome.broken and tried[case] < TRIES:
                wanted.append(case)
                continue
            sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
            sys.stdout.flush()
            if outcome.broken:
                return False
    return True


def _next(wanted: list[Case]) -> list[Case]:
    """One case; with one before the undo goes one of the undo, in the same failover, and the other way."""
    first = wanted.pop(0)
    if first.change:
        return [first]
    forward, back = (Phase.FAILOVER,), (Phase.UNDO, Phase.FAILED)
    others = back if first.point.phase in forward else forward if first.point.phase in back else ()
    for case in wanted:
        both = sorted((first, case), key=lambda c: c.point.phase in back)
        same_point = first.points_back == case.points_back
        if case.point.phase in others and same_point and not (both[0].ends_the_failover or case.change):
            wanted.remove(case)
            return both
    return [first]


def _save_logs(bench: Bench) -> None:
    """The newest of what the workers said, and of what reached the endpoints."""
    for worker in bench.lab.workers.values():
        sys.stderr.write(f"--- {worker.log_file.name}\n{worker.log_file.read_text()[-LOG:]}\n")
    for call in bench.lab.centre.faults.calls[-CALLS:]:
        at = datetime.fromtimestamp(call.at, UTC).isoformat(timespec="milliseconds")
        sys.stderr.write(f"{at} {call.endpoint} {call.call} {call.target}\n")


class Failed(Exception):
    """A case failed, and it was not asked to go on."""


async def _in_a_lab(wanted: Sequence[Case], outcomes: list[Outcome], log: Path, go_on: bool) -> None:
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lab.crash_matrix", "--part",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
            preexec_fn=dies_with_parent(), limit=1 << 24,
        )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps([c.to_json() for c in wanted]).encode() + b"\n")
        await process.stdin.drain()
        async for line in process.stdout:
            outcome = Outcome.from_json(line)
            outcomes.append(outcome)
            if outcome.broken:
                print(
                    f"FAILED {outcome.case}\n  not so: {'; '.join(outcome.broken)}\n  see {log}", flush=True
                )
                if not go_on:
                    raise Failed
            if len(outcomes) % 50 == 0:
                print(f"{len(outcomes)} cases played", flush=True)
        if await process.wait():
            print(f"a lab came to an end before its cases; see {log}", flush=True)
    except BaseException:
        process.terminate()
        raise
    finally:
        await process.wait()


def report(wanted: Sequence[Case], outcomes: Sequence[Outcome], seconds: float) -> int:
    """Print the figures; the exit code."""
    by_intervention: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_intervention[outcome.case.rpartition(" | ")[2]].append(outcome)
    print(f"\n{'what happens':52} {'cases':>6} {'passed':>7} {'worst time to settle':>21}")
    for intervention, some in sorted(by_intervention.items()):
        passed = sum(not o.broken for o in some)
        print(f"{intervention:52} {len(some):6} {passed:7} {max(o.seconds for o in some):19.1f} s")
    missed = [o for o in outcomes if not o.reached and not o.broken]
    for outcome in missed:
        where = f"it came in {', '.join(outcome.elsewhere)}" if outcome.elsewhere else "it never came"
        print(f"without its moment in that step ({where}): {outcome.case}")
    failed = [o for o in outcomes if o.broken]
    steps = {c.point.step for c in wanted}
    worst = max((o.seconds for o in outcomes), default=0)
    print(f"{len(outcomes)} of {len(wanted)} cases of {len(steps)} steps played in {seconds / 60:.1f} min")
    print(
        f"{len(outcomes) - len(failed)} passed, {len(failed)} failed; {len(missed)} without their moment; "
        f"worst time to settle {worst:.1f} s"
    )
    return 1 if failed or missed or len(outcomes) < len(wanted) else 0


@dataclass(frozen=True)
class Share:
    """Part `number` of `of`, from 1: all parts together have every case once."""

    number: int
    of: int

    @staticmethod
    def parse(text: str) -> "Share":
        """From "2/4"."""
        number, _, of = text.partition("/")
        share = Share(int(number), int(of))
        if not 1 <= share.number <= share.of:
            raise ValueError(text)
        return share

    def mine(self, case: Case) -> bool:
        """By the case's own words, so that a new case moves no other into another part."""
        return crc32(str(case).encode()) % self.of == self.number - 1


async def main(labs: int, only: str, share: Share, go_on: bool, folder: Path) -> int:
    """Learn the cases, share them out, print what became of them."""
    began = time.monotonic()
    every = await all_cases()
    wanted = [c for c in every if only in str(c) and share.mine(c)]
    print(f"{len(wanted)} of {len(every)} cases, {labs} labs", flush=True)
    outcomes: list[Outcome] = []
    parts = [wanted[i::labs] for i in range(labs)]
    try:
        async with asyncio.TaskGroup() as group:
            for number, some in enumerate(parts):
                if some:
                    group.create_task(_in_a_lab(some, outcomes, folder / f"part-{number}.log", go_on))
    except* Failed:
        print("the other labs are stopped")
    return report(wanted, outcomes, time.monotonic() - began)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labs", type=int, default=4, help="labs side by side; most of the time is waiting")
    parser.add_argument(
        "--share", type=Share.parse, default=Share(1, 1), metavar="2/4", help="that part of the cases"
    )
    parser.add_argument("--only", default="", help="cases whose line has this text")
    parser.add_argument("--go-on", action="store_true", help="after a failed case")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        asyncio.run(part())
    else:
        kept = Path(tempfile.mkdtemp(prefix="crash-matrix-"))
        sys.exit(asyncio.run(main(given.labs, given.only, given.share, given.go_on, kept)))
