"""A vendor that says too much: between us and a sandbox, it adds what nobody asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "host"}
Answer = Callable[[str, str], tuple[int, bytes, str] | None]


class Between:
    """An HTTP server that passes calls on, or answers them itself as `answers` says."""

    def __init__(self, url: str, extra: dict[str, str]) -> None:
        self.answers: Answer = lambda _method, _path: None
        self.bodies: list[bytes] = []
        between, client = self, httpx.Client(base_url=url, trust_env=False, timeout=30)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                between.bodies.append(body)
                if own := between.answers(self.command, self.path):
                    self.says(own[0], own[1], {"content-type": own[2]})
                    return
                kept = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
                told = client.request(self.command, self.path, content=body, headers=kept)
                headers = {k: v for k, v in told.headers.items() if k.lower() not in HOP}
                self.says(told.status_code, self.more(told), headers)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - as the library names them

            def more(self, told: httpx.Response) -> bytes:
                if "json" not in told.headers.get("content-type", ""):
                    return told.content
                body: Any = told.json()
                return json.dumps(body | extra if isinstance(body, dict) else body).encode()

            def says(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._client = client
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._client.close()


class Collected:
    """An OTLP endpoint that keeps what it is sent, as it came."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
