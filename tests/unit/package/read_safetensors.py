"""Lists a safetensors file without any of our code: name, dtype, shape, SHA-256 of the bytes."""
import hashlib
import json
import struct
import sys

data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + size])
body = data[8 + size:]
assert (8 + size) % 8 == 0, "tensors start on a multiple of eight"
print("metadata", json.dumps(header.pop("__metadata__", {})))
reached = 0
for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
    begin, end = entry["data_offsets"]
    assert begin == reached and end <= len(body), name
    reached = end
assert reached == len(body), "bytes after the last tensor"
for name, entry in sorted(header.items()):
    begin, end = entry["data_offsets"]
    print(name, entry["dtype"], entry["shape"], hashlib.sha256(body[begin:end]).hexdigest())
