"""Reads an .apr file as docs/format.md describes it, without any of our code; checks all it says.

read_apr.py FILE prints metadata keys, tensors (name, type, shape, tree head) and sections, and fails on
anything that is not as documented.
"""
import hashlib
import json
import struct
import sys
import zlib

NAMES = {1: "FILES", 2: "TOKENIZER", 3: "DIGESTS", 4: "LINEAGE"}
BLOCKS = {"f32": (1, 4), "f16": (1, 2), "bf16": (1, 2), "f64": (1, 8), "i8": (1, 1), "u8": (1, 1), "i32": (1, 4),
          "i64": (1, 8), "q4_0": (32, 18), "q4_1": (32, 20), "q5_0": (32, 22), "q5_1": (32, 24), "q8_0": (32, 34),
          "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210)}
CODES = {"f32": 0, "f16": 1, "bf16": 30, "f64": 3, "i8": 6, "u8": 7, "i32": 4, "i64": 5, "q4_0": 2, "q4_1": 3,
         "q5_0": 6, "q5_1": 7, "q8_0": 8, "q4_k": 12, "q5_k": 13, "q6_k": 14, "apr_q4": 128, "apr_q8": 129}


def sha(data):
    return hashlib.sha256(data).digest()


def align(n):
    return -(-n // 64) * 64


def tree(data):
    leaves = [sha(b"\0" + data[i:i + 2**20]) for i in range(0, len(data), 2**20)]
    if not leaves:
        return sha(b"")

    def head(part):
        if len(part) == 1:
            return part[0]
        split = 2 ** ((len(part) - 1).bit_length() - 1)
        return sha(b"\1" + head(part[:split]) + head(part[split:]))

    return head(leaves)


def stored_size(kind, dims):
    n = 1
    for d in dims:
        n *= d
    if kind == "apr_q4":
        return -(-n // 32) * 18
    if kind == "apr_q8":
        return 4 + n
    block, size = BLOCKS[kind]
    if n == 0:
        return 0
    columns = dims[-1] if dims else 1
    return n // columns * -(-columns // block) * size


data = open(sys.argv[1], "rb").read()
assert data[:4] == b"APR\0"
major, minor, flags, count, meta_at, meta_size, index_at, data_at = struct.unpack_from("<BBHIQIQQ", data, 4)
header_crc, tag, directory, directory_size = struct.unpack_from("<I4sQQ", data, 40)
assert (major, minor) == (2, 0) and flags & 0x0400
assert header_crc == zlib.crc32(data[:40] + data[44:64])
assert tag == b"APRX" and directory_size == 1024 and directory % 64 == 0
assert struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-4])
text = data[meta_at:meta_at + meta_size]
metadata = json.loads(text)
assert meta_at == 64 and index_at == 64 + align(meta_size)
assert not any(data[meta_at + meta_size:index_at])

at, tensors = index_at, []
for _ in range(count):
    length = struct.unpack_from("<H", data, at)[0]
    name = data[at + 2:at + 2 + length].decode()
    at += 2 + length
    code, rank = data[at], data[at + 1]
    dims = struct.unpack_from("<%dQ" % rank, data, at + 2)
    at += 2 + 8 * rank
    offset, size = struct.unpack_from("<QQ", data, at)
    at += 16
    kind = metadata["tensor_types"][name]
    assert CODES[kind] == code and stored_size(kind, dims) == size, name
    assert offset % 64 == 0 and data_at + offset + size <= directory, name
    tensors.append((name, kind, dims, data[data_at + offset:data_at + offset + size], offset))
index = data[index_at:at]
assert [t[0].encode() for t in tensors] == sorted(t[0].encode() for t in tensors)
assert data_at == index_at + align(len(index)) and not any(data[at:data_at])
ends = {t[4]: t[4] + len(t[3]) for t in tensors if t[3]}
reached = 0
for begin in sorted(ends):
    assert begin == align(reached)
    assert not any(data[data_at + reached:data_at + begin])
    reached = ends[begin]
assert directory == data_at + align(reached) and not any(data[data_at + reached:directory])
for alias, owner in metadata.get("tensor_aliases", {}).items():
    found = {t[0]: t for t in tensors}
    assert found[alias][1:] == found[owner][1:]

sections, end = {}, directory + 1024
for i in range(16):
    slot = data[directory + 64 * i:directory + 64 * i + 64]
    kind, version, offset, size = struct.unpack_from("<IIQQ", slot)
    if not any(slot):
        continue
    assert version == 1 and offset == end and not any(slot[56:]), i
    sections[NAMES[kind]] = data[offset:offset + size]
    assert sha(sections[NAMES[kind]]) == slot[24:56]
    end = align(offset + size)
    assert not any(data[offset + size:end])
assert end == len(data) - 4

digests = sections["DIGESTS"]
assert struct.unpack_from("<II", digests) == (2**20, count)
fixed = [sha(data[:64]), sha(text), sha(index)] + [sha(sections.get(n, b"")) for n in ("FILES", "TOKENIZER", "LINEAGE")]
heads = [tree(t[3]) for t in tensors]
assert digests[8:-32] == b"".join(fixed + heads)
listing = "apr content root 1\n"
for name, digest in zip(("header", "metadata", "index", "files", "tokenizer", "lineage"), fixed):
    listing += "%s %s\n" % (name, digest.hex())
listing += "tensors %d\n" % count + "".join(h.hex() + "\n" for h in heads)
root = sha(listing.encode())
assert digests[-32:] == root

files = {}
if "FILES" in sections:
    section, at = sections["FILES"], 4
    for _ in range(struct.unpack_from("<I", section)[0]):
        length, size = struct.unpack_from("<IQ", section, at)
        at += 12
        files[section[at:at + length].decode()] = section[at + length:at + length + size]
        at += length + size
    assert at == len(section) and list(files) == sorted(files)
if "LINEAGE" in sections:
    lineage = json.loads(sections["LINEAGE"])
    assert json.dumps(lineage, separators=(",", ":"), ensure_ascii=False).encode() == sections["LINEAGE"]

print("root", root.hex())
for name, content in files.items():
    print("file", name, sha(content).hex())
for name, kind, dims, content, _ in tensors:
    print("tensor", name, kind, list(dims), sha(content).hex())
