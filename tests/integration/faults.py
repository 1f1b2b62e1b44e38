"""Planted faults: models that are wrong in exactly one way."""
import hashlib
import json
import pathlib
import shutil
import struct

import framework


def copy_model(target, source=framework.BUNDLED):
    """A writable copy of a model folder without its traces."""
    target = pathlib.Path(target)
    target.mkdir()
    for path in pathlib.Path(source).iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def edit_json(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


class Checkpoint:
    """A safetensors file, read and written by hand."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        data = self.path.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        self.header = json.loads(data[8:8 + size])
        self.data = bytearray(data[8 + size:])

    def save(self):
        text = json.dumps(self.header).encode()
        text += b" " * (-len(text) % 8)
        self.path.write_bytes(struct.pack("<Q", len(text)) + text + self.data)

    def place(self, name, index):
        """Kind of number and where it lies."""
        entry = self.header[name]
        size = {"BF16": 2, "F16": 2, "F32": 4}[entry["dtype"]]
        return entry["dtype"], entry["data_offsets"][0] + size * index

    def get(self, name, index):
        kind, place = self.place(name, index)
        if kind == "BF16":
            bits = struct.unpack_from("<H", self.data, place)[0]
            return struct.unpack("<f", struct.pack("<I", bits << 16))[0]
        return struct.unpack_from("<e" if kind == "F16" else "<f", self.data, place)[0]

    def put(self, name, index, value):
        kind, place = self.place(name, index)
        if kind == "BF16":
            bits = struct.unpack("<I", struct.pack("<f", value))[0] >> 16
            struct.pack_into("<H", self.data, place, bits)
        else:
            struct.pack_into("<e" if kind == "F16" else "<f", self.data, place, value)


def apr_tensor_place(data, wanted):
    """Offset and size of a tensor's bytes in an `.apr` v2 file."""
    count = struct.unpack_from("<I", data, 8)[0]
    index, start = struct.unpack_from("<QQ", data, 24)
    for _ in range(count):
        length = struct.unpack_from("<H", data, index)[0]
        name = data[index + 2:index + 2 + length].decode()
        index += 2 + length
        rank = data[index + 1]
        offset, size = struct.unpack_from("<QQ", data, index + 2 + 8 * rank)
        index += 2 + 8 * rank + 16
        if name == wanted:
            return start + offset, size
    raise KeyError(wanted)


def change_apr_tensor(path, name, change):
    """Rewrites a tensor's bytes in place. Opening a model does not read them, so this goes unnoticed until
    someone verifies the file or looks at what it computes."""
    data = bytearray(pathlib.Path(path).read_bytes())
    offset, size = apr_tensor_place(data, name)
    data[offset:offset + size] = change(bytes(data[offset:offset + size]))
    pathlib.Path(path).write_bytes(data)


def swap_nibbles(blocks):
    """Q4_0: the two halves of every byte change places."""
    out = bytearray(blocks)
    for begin in range(0, len(out), 18):
        for i in range(begin + 2, begin + 18):
            out[i] = (out[i] >> 4) | (out[i] & 15) << 4
    return bytes(out)
