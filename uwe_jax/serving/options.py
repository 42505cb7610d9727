"""Options and limits of a service."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, fields
from pathlib import Path

from uwe_jax.runtime.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Limits of one request and of all that wait.

    Attributes:
      body_bytes: of a request's body.
      queries: texts of one request, on either side.
      characters: of a text.
      vacancy_characters: of a vacancy before it is cut into sentences.
      top_k: hits of a query.
      waiting: texts that wait for the model, at least twice `queries`; requests beyond them are refused.
      batch: texts of several requests that are ranked together.
      batch_wait: seconds that a batch waits for further requests.
      deadline: seconds from a request's first byte to its answer.
      connections: open at once.
      rate: requests per second of one client; 0 for no limit.
    """

    body_bytes: int = 1 << 20
    queries: int = 256
    characters: int = 10_000
    vacancy_characters: int = 20_000
    top_k: int = 100
    waiting: int = 1024
    batch: int = 32
    batch_wait: float = 0.003
    deadline: float = 30.0
    connections: int = 512
    rate: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.type == "float" else 1
            if not least <= value < math.inf or (field.name == "deadline" and not value):
                raise UserError(f"{field.name} is {value}; it must be {least} or more, and a deadline above 0.")
        if self.waiting < 2 * self.queries:
            raise UserError(
                f"waiting is {self.waiting} and queries {self.queries}: a request for scores may have "
                f"{2 * self.queries} texts and could never wait. Raise waiting to that number, or lower queries."
            )


@dataclass(frozen=True)
class ServiceOptions:
    """Options of a service.

    Attributes:
      model: as of `uwe_jax.models.loading.load_model`; empty for the model of the first index.
      spaces: name and place (see `open_space`) of every index; the first one is the default of a request.
      host: address to listen at.
      port: 0 for a free one.
      keys: of which a request must bring one; empty for a service without authentication.
      hosts: host names that are allowed besides those of the machine itself. If empty, all are, unless the service
        listens at a loopback address without a key, where a page of another site could otherwise ask it.
      proxies: addresses whose X-Forwarded-For is trusted.
      stop_after: seconds for requests in flight after a signal to stop.
      cache_dir: encoders; None for the user's.
      limits: of requests.
    """

    model: str
    spaces: tuple[tuple[str, str], ...]
    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    stop_after: float = 30.0
    cache_dir: Path | None = None
    limits: Limits = Limits()

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Host names that are allowed; empty for all."""
        if not self.hosts and (self.keys or not is_loopback(self.host)):
            return ()
        return ("localhost", "127.0.0.1", "::1", self.host.strip("[]").lower(), *map(str.lower, self.hosts))


def is_loopback(host: str) -> bool:
    """Checks whether an address can be reached from this machine only.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
