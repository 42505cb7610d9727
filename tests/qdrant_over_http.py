"""Qdrant's REST interface in front of the client's embedded mode: what a server is asked, and what it may answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qdrant_client.http import models
from qdrant_client.local.qdrant_local import QdrantLocal


class Server(ThreadingHTTPServer):
    """Answers from memory; `key` is the API key that it wants, `version` the one that it says it has.

    `params` are those of the searches that it was asked for, `indexed` the fields that it was to index.
    """

    daemon_threads = True
    key = ""
    version = "1.19.0"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.qdrant = QdrantLocal(":memory:", force_disable_check_same_thread=True)
        self.one_at_a_time = threading.Lock()
        self.params: list[models.SearchParams | None] = []
        self.indexed: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        server: Server = self.server
        if server.key and self.headers.get("api-key") != server.key:
            return self.send(403, {"status": {"error": "forbidden"}})
        if self.path == "/":
            return self.send(200, {"title": "qdrant", "version": server.version})
        try:
            with server.one_at_a_time:
                result = self.result(server.qdrant, self.path.split("?")[0].strip("/").split("/"), body)
        except ValueError as error:
            return self.send(404 if "not found" in str(error) else 400, {"status": {"error": str(error)}})
        return self.send(200, {"status": "ok", "time": 0.0, "result": result})

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def result(self, qdrant: QdrantLocal, path: list[str], body: bytes) -> Any:
        match self.command, path:
            case "GET", ["aliases"]:
                return qdrant.get_aliases()
            case "GET", ["collections"]:
                return qdrant.get_collections()
            case "POST", ["collections", "aliases"]:
                changes = models.ChangeAliasesOperation.model_validate_json(body)
                return qdrant.update_collection_aliases(changes.actions)
            case "GET", ["collections", name, "exists"]:
                return {"exists": qdrant.collection_exists(name)}
            case "GET", ["collections", name]:
                return qdrant.get_collection(name)
            case "DELETE", ["collections", name]:
                return qdrant.delete_collection(name)
            case "PUT", ["collections", name]:
                made = models.CreateCollection.model_validate_json(body)
                return qdrant.create_collection(name, vectors_config=made.vectors, metadata=made.metadata)
            case "PUT", ["collections", name, "points"]:
                return qdrant.upsert(name, models.PointsList.model_validate_json(body).points)
            case "POST", ["collections", name, "points"]:
                asked = models.PointRequest.model_validate_json(body)
                return qdrant.retrieve(name, asked.ids, with_payload=True, with_vectors=True)
            case "POST", ["collections", name, "points", "count"]:
                return qdrant.count(name, models.CountRequest.model_validate_json(body).filter, exact=True)
            case "PUT", ["collections", name, "index"]:
                self.server.indexed.append(models.CreateFieldIndex.model_validate_json(body).field_name)
                return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
            case "POST", ["collections", name, "facet"]:
                asked = models.FacetRequest.model_validate_json(body)
                return qdrant.facet(name, asked.key, limit=asked.limit)
            case "POST", ["collections", name, "points", "scroll"]:
                asked = models.ScrollRequest.model_validate_json(body)
                points, after = qdrant.scroll(
                    name,
                    asked.filter,
                    asked.limit,
                    offset=asked.offset,
                    with_payload=asked.with_payload,
                    with_vectors=False,
                )
                return {"points": points, "next_page_offset": after}
            case "POST", ["collections", name, "points", "query", "batch"]:
                searches = models.QueryRequestBatch.model_validate_json(body).searches
                self.server.params += [each.params for each in searches]
                # Embedded mode warns that it is always exact.
                return qdrant.query_batch_points(name, [each.model_copy(update={"params": None}) for each in searches])
        raise ValueError(f"{self.command} {'/'.join(path)} not found")

    def send(self, status: int, content: Any) -> None:
        body = json.dumps(content, default=lambda each: each.model_dump(mode="json")).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def qdrant_server() -> Iterator[Server]:
    """Runs a server on a free port of this machine."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.qdrant.close()
