"""The one error that a request is answered with."""


class Refusal(Exception):
    """Nothing was changed. `word` is one of the protocol's error words; `mac` goes with `address-in-use`."""

    def __init__(self, word: str, message: str, mac: str | None = None) -> None:
        super().__init__(message)
        self.word = word
        self.message = message
        self.mac = mac


def invalid(message: str) -> Refusal:
    """The request does not fit; the caller must change it."""
    return Refusal("invalid", message)
