"""Rate limit per client."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_CLIENTS = 10_000


class TokenBuckets:
    """A token bucket per client: each request takes a token, and tokens are refilled at a steady rate.

    Args:
      rate: tokens per second; 0 for no limit.
      burst: tokens of a full bucket.
      clock: seconds, monotonic.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic):
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Takes a token of a client; returns 0, or the seconds until there is one."""
        if not self._rate:
            return 0.0
        now, key = self._clock(), network(client)
        tokens, since = self._left.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        short = max(0.0, 1.0 - tokens)
        self._left[key] = (tokens if short else tokens - 1.0, now)
        if len(self._left) > _MOST_CLIENTS:  # the longest idle client has the fullest bucket
            self._left.popitem(last=False)
        return short / self._rate


def network(client: str) -> str:
    """Returns what counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

    >>> network("192.0.2.7"), network("2001:db8::1") == network("2001:db8::2")
    ('192.0.2.7', True)
    """
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
