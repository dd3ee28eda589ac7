"""What one setting may be. A file is opened and read as what it must be, so that it is refused at start and
not in the middle of a failover."""

import os
import ssl
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    model_validator,
)

from partial_failover.connectors.appliance import host_key_of, public_key
from partial_failover.connectors.vsphere import speaks
from partial_failover.contracts.endpoint import HostName, Port
from partial_failover.contracts.errors import Misconfigured


class Settings(BaseModel):
    """Closed: an unknown setting is a typing mistake, and is refused with its path."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def elsewhere(info: ValidationInfo) -> bool:
    """Whether the settings are read on another machine than the worker's: its files are not there."""
    return bool((info.context or {}).get("without_files"))


def _handed_over(file: Path) -> Path:
    """systemd hands credentials over in a folder of each unit, and names it in the environment."""
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", ""), file)


File = Annotated[Path, AfterValidator(_handed_over)]
"""A relative path is below `$CREDENTIALS_DIRECTORY`, where that is set."""


class SecretFrom(Settings):
    """Where a secret is read from at start: `file` (its only line) or `env` (a variable's name)."""

    file: File | None = None
    env: str | None = None

    @model_validator(mode="after")
    def _one_source_that_can_be_read(self, info: ValidationInfo) -> "SecretFrom":
        if (self.file is None) == (self.env is None):
            raise ValueError("names exactly one of file and env")
        if not elsewhere(info):
            self.read()
        return self

    def read(self) -> str:
        """The secret itself, without blanks around it. It is passed on to a connector and kept nowhere else.
        Raises `ValueError`, which never quotes it."""
        if self.file is None:
            secret, name = os.environ.get(self.env or "", "").strip(), f"the environment variable {self.env}"
        else:
            secret, name = _text(self.file).strip(), f"the file {self.file}"
        if not secret:
            raise ValueError(f"{name} is {'not set' if self.file is None else 'empty'}")
        if len(secret.splitlines()) > 1:
            raise ValueError(f"{name} has several lines; a secret is one")
        return secret


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"the file {file} cannot be read ({error.strerror})") from None


def _text(file: Path) -> str:
    try:
        return _bytes(file).decode()
    except UnicodeDecodeError:
        raise ValueError(f"the file {file} is not text in UTF-8") from None


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if not value.isprintable():
        raise ValueError("holds control characters")
    return value


def _host(value: str) -> str:
    if ":" in value:
        IPv6Address(value)
        return value
    return _HOST_NAME.validate_python(value)


def _https(value: str) -> str:
    """Its host and port are looked at by their own types."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL with a port from 1 to 65535") from None
    whole = f"https://{parts.netloc}"
    if not parts.hostname or "@" in parts.netloc or value.rstrip("/") != whole:
        raise ValueError("must be https://host or https://host:port, and nothing more")
    _host(parts.hostname)
    if port is not None:
        _PORT.validate_python(port)
    return whole


def _listen_on(value: str) -> str:
    host, _, port = value.rpartition(":")
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
        _PORT.validate_python(port)
    except ValueError:
        raise ValueError(
            'is not an IP address with a port from 1 to 65535, such as "127.0.0.1:9464"'
        ) from None
    return value


def _ca_file(file: Path, info: ValidationInfo) -> Path:
    if elsewhere(info):
        return file
    _bytes(file)
    try:
        certificates = ssl.create_default_context(cafile=file).cert_store_stats()["x509"]
    except ssl.SSLError:
        certificates = 0
    if not certificates:
        raise ValueError(f"the file {file} holds no certificate in PEM")
    return file


def _key_file(file: Path, info: ValidationInfo) -> Path:
    if elsewhere(info):
        return file
    _bytes(file)
    try:
        public_key(file)
    except Misconfigured:
        raise ValueError(f"the file {file} is no private SSH key without passphrase") from None
    return file


def _public_key(value: str) -> str:
    try:
        host_key_of(value)
    except Misconfigured:
        raise ValueError(
            "is not a whole public key; as ssh-keyscan -t ed25519 prints it, without the host"
        ) from None
    return value


def _vim_version(value: str) -> str:
    if not speaks(value):
        raise ValueError("is not known; it is one such as vim.version.v8_0_3_0")
    return value


_HOST_NAME: TypeAdapter[str] = TypeAdapter(HostName)
_PORT: TypeAdapter[int] = TypeAdapter(Port)

Text = Annotated[str, AfterValidator(_filled)]
Host = Annotated[str, AfterValidator(_host)]
"""A name, an IPv4 or an IPv6 address."""
HttpsUrl = Annotated[str, AfterValidator(_https)]
"""Of a server, without a path; given back without a slash at its end."""
ListenOn = Annotated[str, AfterValidator(_listen_on)]
"""Address and port to listen on, such as "127.0.0.1:9464"."""
CaFile = Annotated[File, AfterValidator(_ca_file)]
"""PEM, with the certificate of whoever signed a server's."""
KeyFile = Annotated[File, AfterValidator(_key_file)]
"""A private SSH key without passphrase."""
PublicKey = Annotated[str, Field(pattern=r"^ssh-ed25519 [A-Za-z0-9+/=]+$"), AfterValidator(_public_key)]
""""ssh-ed25519 AAAA…": an appliance's host key, or the public half of a worker's key."""
VimVersion = Annotated[str, AfterValidator(_vim_version)]
VCenterId = Annotated[
    str, StringConstraints(to_lower=True, pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
]
"""Made lower case, as Cloud Director writes it."""
