"""The version of the product, for reports. Equal to `pyproject.toml`, which a test holds it to."""

VERSION = "0.2.0"
