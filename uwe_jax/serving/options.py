"""What a service may be asked for, and where it answers."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, fields
from pathlib import Path

from uwe_jax.runtime.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Bounds of one request and of all that wait.

    Attributes:
      body_bytes: of a request's body.
      queries: texts of one request, on either side.
      characters: of a text.
      vacancy_characters: of a vacancy before it is cut into sentences.
      top_k: hits of a query.
      waiting: texts that wait for the model, twice `queries` or more; beyond them requests are refused.
      batch: texts that are ranked together, if they come from several requests.
      batch_wait: seconds that a batch waits for further requests.
      deadline: seconds from a request's first byte to its answer.
      connections: open at once.
      rate: requests a second of one client; 0 for no limit.
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
                f"waiting is {self.waiting} and queries {self.queries}: a request for scores may hold so many texts on "
                f"either side, {2 * self.queries} texts, and could never wait. Raise waiting to them, or lower queries."
            )


@dataclass(frozen=True)
class ServiceOptions:
    """All that a service is started with.

    Attributes:
      model: as of `uwe_jax.models.loading.load_model`; empty takes the one that the first space was built with.
      spaces: name and place (see `open_space`) of every target space; the first one is asked where a request names
        none.
      host: address to listen at.
      port: 0 takes a free one.
      keys: of which a request must bring one; empty: everybody may ask.
      hosts: names under which the service may be called, besides those of the machine itself; empty: at any, unless
        it listens at a loopback address without a key, where a page of another site could otherwise ask it.
      proxies: addresses whose X-Forwarded-For is believed.
      stop_after: seconds that requests in flight get after a signal to stop.
      cache_dir: encoders; None takes the user's.
      limits: bounds.
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
        """Names under which it may be called; empty for all."""
        own = ("localhost", "127.0.0.1", "::1", self.host.strip("[]").lower())
        open_to_pages = is_loopback(self.host) and not self.keys
        return (*own, *(name.lower() for name in self.hosts)) if self.hosts or open_to_pages else ()


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
