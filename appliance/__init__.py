"""The program that runs on a network extension appliance. Standard library only, Python 3.11 or later."""

VERSION = "4"
"""Version of the requests and answers."""
