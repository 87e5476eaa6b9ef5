"""Verifies a store and a backup by what docs/reference says about their formats, and nothing of ours.

Arguments: the store's folder, the backup, and the log's verifier key. The one thing that the standard
library has not is Ed25519.
"""

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc32c_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def small_file(path: Path) -> dict:
    """A file of one JSON object, the last member of which is the checksum of what is before it."""
    text = path.read_bytes().rstrip(b"\n")
    before, _, _ = text.rpartition(b',"check":')
    content = json.loads(text)
    assert content["check"] == f"{crc32c(before):08x}", path
    return content


class Tree:
    """The Merkle tree of RFC 6962 as the roots of its complete subtrees, with their sizes."""

    def __init__(self) -> None:
        self.peaks: list[tuple[int, bytes]] = []
        self.size = 0

    def push(self, entry: bytes) -> None:
        size, node = 1, hashlib.sha256(b"\0" + entry).digest()
        while self.peaks and self.peaks[-1][0] == size:
            _, left = self.peaks.pop()
            size, node = 2 * size, hashlib.sha256(b"\1" + left + node).digest()
        self.peaks.append((size, node))
        self.size += 1

    def root(self) -> bytes:
        if not self.peaks:
            return hashlib.sha256().digest()
        node = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            node = hashlib.sha256(b"\1" + left + node).digest()
        return node


def accounts_for_log(entry: dict) -> bool:
    """Whether an entry is never removed, because it says what became of the log itself."""
    is_own = entry["action"] == "audit.prune" and entry["actor"]["kind"] == "system"
    return is_own or "pruned" in entry or entry["action"] in ("store.restore", "store.accept")


class Pruning:
    """What the log says was removed from it, held against what it had."""

    def __init__(self) -> None:
        self.entries: list[dict] = []
        self.gone: set[int] = set()
        self.held: set[str] = set()
        self.last: dict[tuple[str, str], int] = {}

    def read(self, said: dict) -> None:
        if "pruned" in said:
            pruned = said["pruned"]
            first, end = pruned["from"], pruned["to"]
            assert first % 256 == end % 256 == 0 and first < end <= said["seq"], said
            kept = pruned.get("kept")
            bits = base64.urlsafe_b64decode(kept + "=" * (-len(kept) % 4)) if kept else bytes((end - first + 7) // 8)
            assert len(bits) == (end - first + 7) // 8 and (kept is None or any(bits)), said
            goes = {seq for seq in range(first, end) if not bits[(seq - first) // 8] >> (seq - first) % 8 & 1}
            accounts = set(self.last.values())
            # What went before a hold is named again behind it.
            for seq in goes - self.gone:
                entry = self.entries[seq]
                assert entry.get("organization_id") not in self.held, said
                assert seq not in accounts and not accounts_for_log(entry), said
            assert said["count"] == len(goes - self.gone), said
            self.gone |= goes
        target = said.get("target", {})
        if "digest" in target and target["kind"] != "backup":
            self.last[target["kind"], target["id"]] = said["seq"]
            if said["action"] == "organization.hold":
                self.held.add(target["id"])
            elif said["action"] == "organization.release":
                self.held.discard(target["id"])
        self.entries.append(said)


class Reader:
    """Takes what stands next in some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data), "cut off"
        taken = self.data[self.at : self.at + count]
        self.at += count
        return taken

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def sized(self) -> bytes:
        return self.take(self.number("<I"))

    def is_at_end(self) -> bool:
        return self.at == len(self.data)


def read_journal(
    store: Path, store_id: str, at_sizes: dict[int, bytes], pruning: Pruning
) -> tuple[int, bytes, Tree]:
    """Verifies all segments of a whole journal; notes the tree's root after each frame."""
    frame, before, tree = 0, bytes(32), Tree()
    for path in sorted((store / "journal").glob("*.journal")):
        segment = Reader(path.read_bytes())
        header = segment.take(76)
        assert segment.number("<I") == crc32c(header), path
        fields = struct.unpack("<8sI16sQQ32s", header)
        identity = bytes.fromhex(store_id.replace("-", ""))
        assert fields == (b"AIDPJRNL", 1, identity, frame + 1, tree.size, before), path
        assert int(path.stem) == frame + 1 and len(path.stem) == 20, path
        while not segment.is_at_end():
            length, checksum = segment.number("<I"), segment.number("<I")
            body = segment.take(length)
            assert crc32c(body) == checksum, (path, frame + 1)
            before, frame = read_frame(body, frame + 1, before, tree, pruning), frame + 1
            at_sizes[tree.size] = tree.root()
    return frame, before, tree


def read_frame(body: bytes, number: int, before: bytes, tree: Tree, pruning: Pruning) -> bytes:
    reader = Reader(body)
    assert (reader.number("<Q"), reader.number("<Q")) == (number, tree.size), number
    assert reader.take(32) == before, number
    for _ in range(reader.number("<I")):
        entry, record, _kept = reader.sized(), reader.sized(), reader.sized()
        said = json.loads(entry)
        assert said["seq"] == tree.size, said
        if record:
            assert said["target"]["digest"] == hashlib.sha256(record).hexdigest(), said
        pruning.read(said)
        tree.push(entry)
    own = hashlib.sha256(body[: reader.at]).digest()
    assert reader.take(32) == own and reader.is_at_end(), number
    return own


def verify_note(note: str, vkey: str) -> tuple[int, bytes]:
    """The size and root of a checkpoint, once its log's signature is verified."""
    name, key_id, key = vkey.split("+", 2)
    typed = base64.b64decode(key, validate=True)
    assert typed[0] == 1 and len(typed) == 33
    full = hashlib.sha256(name.encode() + b"\n" + typed).digest()
    assert full[:4].hex() == key_id
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    signed = False
    for line in lines.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if dash == "—" and signer == name and signature[:4] == full[:4]:
            Ed25519PublicKey.from_public_bytes(typed[1:]).verify(signature[4:], text.encode())
            signed = True
    assert signed, "not signed by this key"
    origin, size, root = text.splitlines()[:3]
    assert origin == name
    return int(size), base64.b64decode(root, validate=True)


def read_backup(path: Path) -> dict:
    """Verifies the checksums of a backup, and gives its manifest."""
    file = Reader(path.read_bytes())
    assert file.take(8) == b"AIDPBKUP" and file.number("<I") == 1
    while length := file.number("<I"):
        checksum = file.number("<I")
        assert length <= 1048576 and crc32c(file.take(length)) == checksum
    rest = Reader(file.data[-36:])
    length = rest.number("<I")
    assert hashlib.sha256(file.data[:-32]).digest() == rest.take(32)
    manifest = json.loads(file.take(length))
    assert file.at == len(file.data) - 36
    return manifest


def main() -> None:
    store, backup, vkey = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    identity = small_file(store / "store.json")
    assert identity["format"] == 5
    roots: dict[int, bytes] = {}
    pruning = Pruning()
    frame, last, tree = read_journal(store, identity["id"], roots, pruning)
    head = small_file(store / "head")
    assert head["store_id"] == identity["id"]
    assert (head["frame"], head["hash"]) == (frame, last.hex())
    assert (head["entries"], head["root"]) == (tree.size, base64.b64encode(tree.root()).decode())
    size, root = verify_note((store / "checkpoint").read_text(encoding="utf-8"), vkey)
    assert roots[size] == root
    cut = read_backup(backup)["cut"]
    assert cut["store_id"] == identity["id"] and cut["entries"] in roots
    seen = {"frames": frame, "entries": tree.size, "checkpoint": size, "backup": cut["entries"]}
    print(json.dumps(seen | {"pruned": len(pruning.gone)}))


main()
