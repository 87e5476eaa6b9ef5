"""A witness by C2SP tlog-witness, strictly, with nothing of ours: it keeps the last checkpoint of one log.

Arguments: the log's verifier key, and a file with the last checkpoint's size and root, which it keeps there;
for TLS a file with its certificate and one with the key.
Prints its URL, then its own verifier key.
"""

import base64
import hashlib
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NAME = "witness.example/w1"
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a witness").digest())
TYPED = b"\4" + KEY.public_key().public_bytes_raw()


def key_id(name: str, typed: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + typed).digest()[:4]


class Refused(Exception):
    """A status, and for 409 what the body says."""

    def __init__(self, status: int, body: str = "") -> None:
        super().__init__(status)
        self.status, self.body = status, body


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def grew(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """RFC 9162, section 2.1.4.2, for 0 < old < new."""
    if not proof:
        return False
    if old & (old - 1) == 0:
        proof = [old_root, *proof]
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for it in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(it, fr), node(it, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, it)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def decimal(text: str) -> int:
    if not text.isascii() or not text.isdigit() or str(int(text)) != text:
        raise Refused(400)
    return int(text)


def unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused(400) from error


class Log:
    """The one log that it knows, and how far it has seen it."""

    def __init__(self, vkey: str, file: Path) -> None:
        self.origin, self.id, key = vkey.split("+", 2)
        self.key = Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:])
        self.file = file

    def last(self) -> tuple[int, bytes]:
        if not self.file.exists():
            return 0, hashlib.sha256().digest()
        kept = json.loads(self.file.read_text())
        return kept["size"], bytes.fromhex(kept["root"])

    def add(self, body: str) -> str:
        head, empty, note = body.partition("\n\n")
        old, *proof = head.split("\n")
        if not empty or not old.startswith("old ") or len(proof) > 63:
            raise Refused(400)
        old, proof = decimal(old[4:]), [unbase64(it) for it in proof]
        text, empty, lines = note.rpartition("\n\n")
        text += "\n"
        parts = text.split("\n")
        if not empty or len(parts) < 4 or not lines.endswith("\n"):
            raise Refused(400)
        if parts[0] != self.origin:
            raise Refused(404)
        self.verify(text, lines[:-1].split("\n"))
        size, root = decimal(parts[1]), unbase64(parts[2])
        if old > size or (old in (0, size) and proof):
            raise Refused(400)
        seen, seen_root = self.last()
        if old != seen:
            raise Refused(409, f"{seen}\n")
        if old == size and root != seen_root:
            raise Refused(409, f"{seen}\n")
        if 0 < old < size and not grew(old, seen_root, size, root, proof):
            raise Refused(422)
        self.file.write_text(json.dumps({"size": size, "root": root.hex()}))
        now = int(time.time())
        message = f"cosignature/v1\ntime {now}\n{text}"
        signature = now.to_bytes(8, "big") + KEY.sign(message.encode())
        line = base64.b64encode(key_id(NAME, TYPED) + signature).decode()
        stranger = base64.b64encode(b"????" + signature).decode()
        return f"— {NAME} {line}\n— stranger.example/w2 {stranger}\n"

    def verify(self, text: str, lines: list[str]) -> None:
        for line in lines:
            dash, name, signature = line.split(" ")
            signature = unbase64(signature)
            if dash == "—" and name == self.origin and signature[:4].hex() == self.id:
                try:
                    return self.key.verify(signature[4:], text.encode())
                except InvalidSignature as error:
                    raise Refused(403) from error
        raise Refused(403)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: Log

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        kind = "text/plain"
        try:
            if self.path != "/log/add-checkpoint":
                raise Refused(404)
            status, answer = 200, self.log.add(body)
        except Refused as refused:
            status, answer = refused.status, refused.body
            if answer:
                kind = "text/x.tlog.size"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer.encode())))
        self.end_headers()
        self.wfile.write(answer.encode())
        print(f"answered {status}", flush=True)

    def log_message(self, *_words: object) -> None:
        """Says nothing of its own."""


Handler.log = Log(sys.argv[1], Path(sys.argv[2]))
server = HTTPServer(("127.0.0.1", 0), Handler)
scheme = "http"
if len(sys.argv) > 3:
    scheme = "https"
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[3], sys.argv[4])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
print(f"{scheme}://127.0.0.1:{server.server_port}/log", flush=True)
print(f"{NAME}+{key_id(NAME, TYPED).hex()}+{base64.b64encode(TYPED).decode()}", flush=True)
server.serve_forever()
