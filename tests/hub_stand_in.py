"""A server that speaks as the Hugging Face hub does, as far as fetching and pushing a model go."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Files = dict[str, bytes]


class Hub:
    """Repositories by user/name, each with its files by revision; `failures` more requests are answered with 503."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, Files]] = {}
        self.failures = 0
        self.requests: list[str] = []
        self.endpoint = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body for a request."""
        self.requests.append(f"{method} {path}")
        if self.failures:
            self.failures -= 1
            return 503, {}, b"busy"
        parts = path.strip("/").split("/")
        if path == "/api/validate-yaml":
            return 200, {}, json.dumps({"errors": [], "warnings": []}).encode()
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            self.repositories.setdefault(name, {"main": {}})
            return 200, {}, json.dumps({"url": f"{self.endpoint}/{name}", "id": name}).encode()
        if parts[:2] == ["api", "models"] and len(parts) >= 6:
            name, what, revision = "/".join(parts[2:4]), parts[4], parts[5]
            return self._preupload(body) if what == "preupload" else self._commit(name, revision, body)
        if len(parts) >= 5 and parts[2] == "resolve":
            return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return 404, {}, b"{}"

    def _preupload(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]]
        return 200, {}, json.dumps({"files": files}).encode()

    def _commit(self, name: str, revision: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if name not in self.repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        files = dict(self.repositories[name].get(revision, {}))
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        oid = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.repositories[name] |= {revision: files, oid: files}
        return (
            200,
            {},
            json.dumps(
                {"success": True, "commitOid": oid, "commitUrl": f"{self.endpoint}/{name}/commit/{oid}"}
            ).encode(),
        )

    def _file(self, name: str, revision: str, file: str) -> tuple[int, dict[str, str], bytes]:
        if name not in self.repositories:
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        if revision not in self.repositories[name]:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        files = self.repositories[name][revision]
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        if file not in files:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        etag = hashlib.sha256(files[file]).hexdigest()
        return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}, files[file]


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Serve a hub on this machine, and give its address."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, headers, body = hub.answer(self.command, self.path.split("?")[0], self.rfile.read(length))
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = _do

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        yield hub.endpoint
    finally:
        server.shutdown()
        server.server_close()
