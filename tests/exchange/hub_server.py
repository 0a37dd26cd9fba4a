"""A hub on this machine: takes repositories and commits, and gives their files back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def commit_of(branch: str) -> str:
    """The one commit that a branch ever has."""
    return hashlib.sha1(branch.encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    """The server, on a free port.

    Attributes:
        files: what was committed, by repository, branch and file.
        created: what was asked of each repository.
        messages: of the commits.
        tokens: what requests carried.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.created: list[dict] = []
        self.messages: list[str] = []
        self.tokens: set[str | None] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.tokens.add(self.headers["Authorization"])
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            self.server.created.append(wanted)
            name = f"{wanted['organization']}/{wanted['name']}"
            self._answer({"url": f"{self.server.address}/{name}"})
        elif self.path == "/api/validate-yaml":
            self._answer({})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            kept = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer({"files": [{"path": name, **kept} for name in names]})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/(\w+)", self.path):
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "header":
                    self.server.messages.append(entry["value"]["summary"])
                else:
                    value = entry["value"]
                    content = base64.b64decode(value["content"])
                    self.server.files[found[1], found[2], value["path"]] = content
            commit = commit_of(found[2])
            url = f"{self.server.address}/{found[1]}/commit/{commit}"
            self._answer({"success": True, "commitOid": commit, "commitUrl": url})
        else:
            self._answer({"error": f"no {self.path}"}, status=404)

    def do_HEAD(self) -> None:
        self._give(with_body=False)

    def do_GET(self) -> None:
        self._give(with_body=True)

    def _give(self, *, with_body: bool) -> None:
        found = re.fullmatch(r"/(.+)/resolve/(\w+)/(.+)", self.path)
        content = self.server.files.get(found.groups()) if found else None
        if found is None or content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit_of(found[2]))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _answer(self, value: dict, status: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass
