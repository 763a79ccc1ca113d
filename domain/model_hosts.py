"""Which hosts agents.yaml may have prompts and keys sent to: those that the operator has listed, and no other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from domain.errors import Invalid

LOOPBACK = "127.0.0.1,::1,localhost"
_PATTERN = re.compile(
    r"(?P<host>(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?|(?P<bare>[0-9a-f]*:[0-9a-f:.]+)"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Pattern:
    host: str
    port: int | None

    def matches(self, host: str, port: int | None) -> bool:
        if self.port not in (None, port):
            return False
        return host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host


class ModelHosts:
    """An allow-list. It goes by the name that is written, not by what the name resolves to."""

    def __init__(self, patterns: str = LOOPBACK) -> None:
        """`patterns`, with commas between: `host`, `host:port`, `*.suffix` for all below it, `[::1]:8000`; a pattern
        without a port allows any. Raises Invalid for what is none."""
        self._patterns = [_pattern(one.strip()) for one in patterns.split(",") if one.strip()]
        self.listed = patterns

    def allow(self, url: str) -> bool:
        """Whether that http(s) URL leads to a listed host."""
        try:
            address = urlsplit(url)
            host, port = _plain(address.hostname or ""), address.port or _DEFAULT_PORTS.get(address.scheme)
        except ValueError:  # there is no such port or address
            return False
        return any(pattern.matches(host, port) for pattern in self._patterns)


def _pattern(written: str) -> _Pattern:
    found = _PATTERN.fullmatch(written.lower())
    if not found:
        raise Invalid(
            f"{written!r} is no host: CARAVAN_MODEL_HOSTS takes host, host:port and *.suffix, with commas between"
        )
    return _Pattern(_plain(found["bare"] or found["host"]), int(found["port"]) if found["port"] else None)


def _plain(host: str) -> str:
    """In one spelling: lower case, without brackets or a final dot, IPv6 addresses shortened."""
    host = host.lower().strip("[]").removesuffix(".")
    try:
        return str(ip_address(host)) if ":" in host else host
    except ValueError:
        return host
