"""What is scarce is handed out in turn: turns are counted here, not seconds."""

from partial_failover.temporal.shares import Shares, Turn


def begun(turns: list[Turn]) -> int:
    """How many of them have their place."""
    return sum(turn.begun.done() for turn in turns)


def ask(shares: Shares, tenant: str, times: int) -> list[Turn]:
    return [shares.ask(tenant) for _ in range(times)]


def test_a_tenant_alone_leaves_what_is_kept() -> None:
    shares = Shares(8, kept=2)
    assert begun(ask(shares, "acme", 300)) == 6
    assert begun(ask(shares, "globex", 300)) == 1
    assert begun(ask(shares, "initech", 300)) == 1
    assert begun(ask(shares, "umbrella", 1)) == 0


def test_a_few_at_once_are_had_beside_one_that_takes_all_it_can() -> None:
    shares = Shares(32, kept=8, few=4)
    assert begun(ask(shares, "acme", 300)) == 24
    assert begun(ask(shares, "globex", 4)) == 4


def test_whoever_has_fewest_is_next() -> None:
    shares = Shares(4, kept=0)
    acme, globex = ask(shares, "acme", 300), ask(shares, "globex", 4)
    for turn in acme[:3]:
        shares.end(turn)
    assert (begun(acme), begun(globex)) == (5, 2), "two places each, after three turns"


def test_with_as_many_they_take_turns() -> None:
    shares = Shares(1, kept=0)
    running = shares.ask("acme")
    waiting = {tenant: ask(shares, tenant, 5) for tenant in ("acme", "globex", "initech")}
    order = []
    for _ in range(6):
        shares.end(running)
        running = next(t for turns in waiting.values() for t in turns if t.begun.done() and t not in order)
        order.append(running)
    assert [t.tenant for t in order] == ["globex", "initech", "acme"] * 2


def test_of_one_tenant_the_most_urgent_is_next_and_of_those_the_oldest() -> None:
    shares = Shares(1, kept=0)
    running = shares.ask("acme")
    look, first, second = shares.ask("acme", 5), shares.ask("acme", 1), shares.ask("acme", 1)
    shares.end(running)
    assert begun([look, first, second]) == 1 and first.begun.done()
    shares.end(first)
    assert second.begun.done() and not look.begun.done()


def test_one_that_is_no_longer_waited_for_takes_no_place() -> None:
    shares = Shares(1, kept=0)
    running, gone, next_one = ask(shares, "acme", 3)
    shares.end(gone)
    shares.end(running)
    assert next_one.begun.done() and not gone.begun.done()
    shares.end(next_one)
    assert shares.ask("globex").begun.done()
