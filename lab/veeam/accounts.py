"""Accounts, roles and tokens of the backup server."""

import secrets
import threading
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic


class Role(StrEnum):
    """Built-in roles (source: "Available to" of each call in the API's schema)."""

    ADMINISTRATOR = "Veeam Backup Administrator"
    BACKUP_OPERATOR = "Veeam Backup Operator"
    RESTORE_OPERATOR = "Veeam Restore Operator"
    VIEWER = "Veeam Backup Viewer"


@dataclass(frozen=True)
class User:
    """An account of the backup server."""

    name: str
    password: str
    role: Role


@dataclass(frozen=True)
class Token:
    """What a log-in gives."""

    user: User
    access: str
    refresh: str
    expires: float
    """`time.monotonic()` seconds."""


class Accounts:
    """Who may log in, and who is logged in. Thread safe."""

    def __init__(self) -> None:
        self.token_seconds = 900.0
        """Life of an access token (documented: 15 minutes)."""
        self._users: dict[str, User] = {}
        self._tokens: list[Token] = []
        self._refresh: dict[str, User] = {}
        self._lock = threading.Lock()

    def add(self, user: User) -> None:
        """A new account, or a changed one."""
        with self._lock:
            self._users[user.name] = user

    def log_in(self, name: str, password: str) -> Token | None:
        """None when the name or the password is wrong."""
        with self._lock:
            user = self._users.get(name)
            if user is None or not secrets.compare_digest(user.password.encode(), password.encode()):
                return None
            return self._issue(user)

    def renew(self, refresh: str) -> Token | None:
        """A refresh token can be used once. None when it was used, or never issued."""
        with self._lock:
            user = self._refresh.pop(refresh, None)
            return self._issue(user) if user else None

    def who(self, access: str) -> User | None:
        """The account behind a token that has not expired, as it is now."""
        with self._lock:
            live = (t for t in self._tokens if t.access == access and t.expires > monotonic())
            return next((self._users[t.user.name] for t in live), None)

    def log_out(self, access: str) -> None:
        """Access and refresh token become invalid."""
        with self._lock:
            for token in [t for t in self._tokens if t.access == access]:
                self._tokens.remove(token)
                self._refresh.pop(token.refresh, None)

    def expire_all(self) -> None:
        """Every access token expires; refresh tokens stay good."""
        with self._lock:
            self._tokens.clear()

    def _issue(self, user: User) -> Token:
        expires = monotonic() + self.token_seconds
        token = Token(user, secrets.token_urlsafe(32), secrets.token_urlsafe(32), expires)
        self._tokens.append(token)
        self._refresh[token.refresh] = user
        return token
