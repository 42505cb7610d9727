"""A language model's server on loopback, which speaks chat completions over real HTTP, and misbehaves on demand.

Answers are composed from the prompt alone, so the same prompt gets the same answer. As a program:

    python language_model_server.py --port 8000 --log asked.log --misbehave 0.2 --delay 0.05
"""

import argparse
import json
import random
import re
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPENINGS = (
    "In this position we ask you to",
    "Day after day our crew relies on colleagues who",
    "Whoever joins us should already know how to",
    "During the night shift it falls to you to",
    "Together with two experienced mentors you learn to",
    "A calm hand is needed whenever you",
)
ENDINGS = (
    "for customers in the whole region",
    "under tight deadlines and with little supervision",
    "and document every step for the next shift",
    "in a small workshop by the harbour",
    "while training apprentices along the way",
    "according to written procedures",
)
ROLES = ("lead", "associate", "coordinator", "adviser", "officer", "practitioner")
FORMS = ("{} in practice", "applied {}", "hands-on {}", "{} tasks", "routine {}", "{} duties")

# Modes of one request. The first are troubles of the server, which go away when it is asked again.
TROUBLES = ("429", "500", "cut", "malformed", "html", "empty")
UNREADABLE = ("prose", "schema", "length")
CONTENTS = ("copy", "german", "twice", "label")


def compose(prompt: str, content: str = "") -> list[str]:
    """Texts for the skill of a prompt; with `content` of `CONTENTS`, the first of them is a bad one."""
    skill = re.search(r"^Skill: (.*)$", prompt, re.MULTILINE)[1]
    kind, number = next(
        (kind, int(found[1]))
        for kind, pattern in (
            ("vacancy", r"Write (\d+) new sent"),
            ("job", r"Write (\d+) job"),
            ("alias", r"Write (\d+)"),
        )
        if (found := re.search(pattern, prompt))
    )
    draw = random.Random(zlib.crc32(f"{kind} {skill}".encode()))
    parts = [draw.sample(each, min(number, len(each))) for each in (OPENINGS, ENDINGS, ROLES, FORMS)]
    if kind == "vacancy":
        texts = [f"{a} {skill} {b}." for a, b in zip(parts[0], parts[1], strict=True)]
    elif kind == "job":
        texts = [f"{skill} {role}" for role in parts[2]]
    else:
        texts = [form.format(skill) for form in parts[3]]
    examples = re.findall(r"^- (.*)$", prompt, re.MULTILINE)
    bad = {
        "copy": max(examples, key=len, default=skill),
        "german": "Wir suchen zum nächstmöglichen Zeitpunkt eine erfahrene Pflegekraft für unsere Station.",
        "twice": texts[-1],
        "label": skill,
    }
    return [bad[content], *texts[1:]] if content else texts


class LanguageModelServer:
    """Serves until it is closed; use it in a `with`.

    Args:
      mode: says for the number of a request, from 0 on, and its prompt what happens to it: empty for a good answer, one
        of `TROUBLES`, `UNREADABLE` or `CONTENTS`, "slow" for an answer after four seconds, "fence" for one in a
        Markdown fence, or an HTTP status.
      delay: seconds before any answer.
      key: that requests have to bring; empty takes any.
      port: 0 takes a free one.

    Attributes:
      asked: the prompts, in the order of the requests.
    """

    def __init__(self, mode=lambda number, prompt: "", delay=0.0, key="", port=0):
        self.mode, self.delay, self.key = mode, delay, key
        self.asked: list[str] = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._http.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def send(self, status, content, kind="application/json", headers=(), keep=None):
                body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[:keep])
                self.wfile.flush()

            def fail(self, status, message, headers=()):
                self.send(status, {"error": {"message": message, "type": "error", "code": None}}, headers=headers)

            def refused(self):
                if server.key and self.headers["Authorization"] != f"Bearer {server.key}":
                    self.fail(401, f"Incorrect API key provided: {self.headers['Authorization']}")
                    return True
                return False

            def do_GET(self):
                if not self.refused():
                    self.send(200, {"object": "list", "data": [{"id": "loopback", "object": "model"}]})

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.refused():
                    return
                prompt = request["messages"][-1]["content"]
                with server._lock:
                    number = len(server.asked)
                    server.asked.append(prompt)
                    server._at_once += 1
                    server.most_at_once = max(server.most_at_once, server._at_once)
                try:
                    self.answer(request, prompt, server.mode(number, prompt))
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    with server._lock:
                        server._at_once -= 1

            def answer(self, request, prompt, mode):
                time.sleep(4.0 if mode == "slow" else server.delay)
                if mode.isdigit():
                    headers = [("Retry-After", "0")] if mode == "429" else []
                    return self.fail(int(mode), "as told", headers)
                if mode == "wait":
                    return self.fail(429, "come back tomorrow", [("Retry-After", "86400")])
                texts = compose(prompt, mode if mode in CONTENTS else "")
                content = json.dumps({"texts": texts})
                if mode == "prose":
                    content = f"Certainly! Here you are: {texts[0]}"
                elif mode == "schema":
                    content = json.dumps({"sentences": texts, "note": "as you wished"})
                elif mode == "length":
                    content = content[: len(content) // 2]
                elif mode == "fence":
                    content = f"```json\n{content}\n```"
                reply = {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": request["model"],
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": content},
                            "finish_reason": "length" if mode == "length" else "stop",
                        }
                    ],
                    "usage": {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(content) // 4},
                }
                reply["usage"]["total_tokens"] = sum(reply["usage"].values())
                if mode == "html":
                    return self.send(200, "<html>Bad gateway</html>", "text/html")
                if mode == "empty":
                    return self.send(200, {"choices": []})
                if mode == "malformed":
                    return self.send(200, json.dumps(reply)[:-20])
                if mode == "cut":
                    self.send(200, reply, keep=40)
                    self.close_connection = True
                    return None
                return self.send(200, reply)

        return Handler


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--log", default="", help="gets a line for every request")
    parser.add_argument("--misbehave", type=float, default=0.0, help="share of requests that meet trouble")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before an answer")
    chosen = parser.parse_args(arguments)
    draw = random.Random(0)
    log = Path(chosen.log).open("a", buffering=1) if chosen.log else sys.stdout  # noqa: SIM115
    lock = threading.Lock()

    def mode(number, prompt):
        with lock:
            bad = draw.random() < chosen.misbehave
            picked = draw.choice((*TROUBLES, *UNREADABLE, *CONTENTS, "fence")) if bad else ""
            skill = re.search(r"^Skill: (.*)$", prompt, re.MULTILINE)[1]
            print(json.dumps([number, picked, zlib.crc32(prompt.encode()), skill]), file=log)
        return picked

    with LanguageModelServer(mode, chosen.delay, port=chosen.port) as server:
        print(f"Serving at {server.base_url}", file=sys.stderr, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
