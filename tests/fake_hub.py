"""A server on this machine that speaks as the Hugging Face hub does."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from uwe_jax.sources.hub import download

REPO = "Org/skill-pairs"
SHA = "7d5a26014e88d1c34f2f5b3ea0f2e1a4d3c9b807"


class FakeHub:
    """What the hub answers, and what it was asked."""

    def __init__(self):
        self.revisions: dict[str, tuple[str, dict[str, bytes]]] = {}
        self.refusal: tuple[int, str] | None = None
        self.refused = "/"  # what the paths begin with that it refuses
        self.seconds = 0.0  # that it keeps silent
        self.asked: list[str] = []

    def publish(self, files: dict[str, bytes], sha: str = SHA, repo: str = REPO) -> None:
        self.revisions[repo] = sha, files

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if self.refusal and path.startswith(self.refused):
            return self.refusal[0], {"X-Error-Code": self.refusal[1]}, b"{}"
        for repo, (sha, files) in self.revisions.items():
            if path == f"/api/datasets/{repo}":
                siblings = [{"rfilename": name} for name in files]
                return 200, {}, json.dumps({"id": repo, "sha": sha, "siblings": siblings}).encode()
            name = path.removeprefix("/datasets").removeprefix(f"/{repo}/resolve/")
            name = name.removeprefix(f"{sha}/").removeprefix("main/")  # a model is asked for by its branch first
            if name in files:
                return 200, {"X-Repo-Commit": sha, "ETag": f'"{hash((sha, name))}"'}, files[name]
            if path.startswith(f"/{repo}/"):
                return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha}, b"{}"
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"

    @contextlib.contextmanager
    def served(self) -> Iterator[str]:
        """The address at which it answers."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(fake.seconds)
                path = self.path.split("?")[0]
                fake.asked.append(path)
                status, headers, body = fake.answer(path)
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    with contextlib.suppress(BrokenPipeError):  # of a client that gave up
                        self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def only_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub that the client asks from now on, with an empty cache in a folder."""
    fake = FakeHub()
    with fake.served() as endpoint:
        # what HF_ENDPOINT sets when the client is imported
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(download, "_silent", {})
        yield fake
