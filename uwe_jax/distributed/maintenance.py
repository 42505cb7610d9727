"""Turns maintenance and preemption notices of Google's metadata server into SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
import urllib.request
from pathlib import Path

_PRODUCT = Path("/sys/class/dmi/id/product_name")
_HOST = "GCE_METADATA_HOST"  # as Google's own client libraries have it
PAUSE_SECONDS = 5.0
_NO_NOTICE = {"maintenance-event": "NONE", "preempted": "FALSE"}


def watch_for_notices() -> threading.Event | None:
    """Watches the metadata server from a thread, on a machine of Google's cloud, and sends this process SIGTERM once.

    Returns:
      An event that ends the watch when it is set; None on any other machine.
    """
    if _HOST not in os.environ and not _is_google_machine():
        return None
    ended = threading.Event()
    host = os.environ.get(_HOST, "metadata.google.internal")
    threading.Thread(target=_watch, args=(host, ended), name="notices", daemon=True).start()
    return ended


def notice(host: str) -> str | None:
    """Returns the current notice, such as `maintenance-event: TERMINATE_ON_HOST_MAINTENANCE`, or None.

    None is also the result where the server does not answer.
    """
    for name, no_notice in _NO_NOTICE.items():
        url = f"http://{host}/computeMetadata/v1/instance/{name}"
        request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                value = answer.read(100).decode(errors="replace").strip()
        except (OSError, ValueError):
            continue
        if value and value != no_notice:
            return f"{name}: {value}"
    return None


def _watch(host: str, ended: threading.Event) -> None:
    while not ended.wait(PAUSE_SECONDS):
        if notice(host) and not ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _is_google_machine() -> bool:
    try:
        return "Google" in _PRODUCT.read_text()
    except OSError:
        return False
