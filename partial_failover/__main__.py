"""`python -m partial_failover`: the command `partial-failover`."""

from partial_failover.cli.main import main

if __name__ == "__main__":
    main()
