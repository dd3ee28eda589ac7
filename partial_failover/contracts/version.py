"""The version of the product, for reports. Equal to `pyproject.toml`, which a test holds it to."""

VERSION = "0.1.0"
