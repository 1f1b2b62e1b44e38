import struct

import checkpoints
from case import case
from fixtures import damaged, field, file, flip, index_entry, small

TITLE = ".apr files"
Q = "model.layers.0.self_attn.q_proj.weight"


def broken(wrong, change, code=4, command="apr inspect broken.apr", show="err", **options):
    return case(wrong, command, code, damaged(change, **options), show=show)


def validate(wrong, change, **options):
    return broken(wrong, change, 5, "apr validate broken.apr", "both", **options)


def entry_fields(content, place, size):
    """dtype byte, rank byte, shape, offset and size of an index entry."""
    at = place + 2 + size
    return at, content[at + 1]


def dtype(value):
    return index_entry(0, lambda c, place, size: c.__setitem__(place + 2 + size, value))


def rank(value):
    return index_entry(0, lambda c, place, size: c.__setitem__(place + 3 + size, value))


def offset(number, value):
    def change(content, place, size):
        at, rank = entry_fields(content, place, size)
        struct.pack_into("<Q", content, at + 2 + 8 * rank, value)
    return index_entry(number, change)


def stored(value):
    def change(content, place, size):
        at, rank = entry_fields(content, place, size)
        struct.pack_into("<Q", content, at + 10 + 8 * rank, value)
    return index_entry(0, change)


def dimension(value):
    return index_entry(0, lambda c, place, size: struct.pack_into("<Q", c, place + 4 + size, value))


def same_name(content):
    """The second name becomes the first."""
    head = checkpoints.apr_header(bytes(content))
    place = head["index_offset"]
    (size,) = struct.unpack_from("<H", content, place)
    first = bytes(content[place:place + 2 + size])
    next_place = place + 2 + size + 2 + 8 * content[place + 3 + size] + 16
    (other,) = struct.unpack_from("<H", content, next_place)
    content[next_place + 2:next_place + 2 + other] = (first[2:] + b"\0" * other)[:other] if other <= size else \
        first[2:] + b"0" * (other - size)
    content[next_place + 2] = 0x21


def metadata(old, new):
    """Bytes of the metadata replaced by as many others."""
    assert len(old) == len(new)

    def change(content):
        place = bytes(content).index(old)
        content[place:place + len(old)] = new
    return change


def cut(where):
    return lambda content: content[:where(checkpoints.apr_header(bytes(content)), content)]


def at_index(content):
    return checkpoints.apr_header(bytes(content))["index_offset"]


def twice(content):
    """The norms' names of one layer become equal: two names of the same length."""
    one, two = (f"model.layers.0.self_attn.{part}_proj.weight".encode() for part in "kv")
    head = checkpoints.apr_header(bytes(content))
    place = bytes(content).index(two, head["index_offset"])
    content[place:place + len(two)] = one


def metadata_text(content, text):
    head = checkpoints.apr_header(bytes(content))
    begin, size = head["metadata_offset"], head["metadata_size"]
    content[begin:begin + size] = text + b" " * (size - len(text))


def pad(content):
    """The last byte before the weights."""
    content[checkpoints.apr_header(bytes(content))["data_offset"] - 1] = 1


CASES = [
    broken("has a file that ends within its header", lambda c: c[:30], sealed=False),
    broken("has a file that ends before its metadata", lambda c: c[:70], sealed=False),
    broken("has a file that ends within its index", cut(lambda h, c: h["index_offset"] + 100)),
    broken("has a file that ends within its weights", cut(lambda h, c: len(c) // 2)),
    broken("has a header that was damaged", field(8, "<I", 7), sealed=False),
    broken("has an .apr file of a later version", field(4, "<H", 3), 9),
    broken("has a GGUF file with the ending .apr", lambda c: b"GGUF" + bytes(80), 9, sealed=False),
    broken("has an APR1 file of an early draft", lambda c: b"APR1" + bytes(80), 9, sealed=False),
    case("has a classical v1 model", "apr run broken.apr Hello", 9, file(
        "broken.apr", b"APRN" + bytes([1, 0]) + struct.pack("<H", 1) + bytes(60))),
    case("gave a JSON file as .apr", "apr validate broken.apr", 4, file("broken.apr", "{}")),
    case("gave apr-runtime a checkpoint's weights", "apr-runtime model.safetensors Hello", 4, file(
        "model.safetensors", struct.pack("<Q", 2) + b"{}")),
    case("gave apr-runtime a zip archive", "apr-runtime model.pt Hello", 4, file("model.pt", b"PK\x03\x04" + bytes(60))),
    case("gave apr-runtime a text", "apr-runtime notes.txt Hello", 4, file("notes.txt", "Things to do\n" * 20)),
    case("gave apr-runtime an empty file", "apr-runtime model.apr Hello", 4, file("model.apr")),
    case("gave apr-runtime a GGUF file", "apr-runtime model.gguf Hello", 4, file("model.gguf", b"GGUF" + bytes(60))),
    broken("has a file that stores tensors by columns", lambda c: struct.pack_into(
        "<H", c, 6, struct.unpack_from("<H", c, 6)[0] & ~(1 << 10) | (1 << 11)), 9),
    broken("has an encrypted file", lambda c: struct.pack_into("<H", c, 6, struct.unpack_from("<H", c, 6)[0] | 4), 9),
    broken("has a compressed file", lambda c: struct.pack_into("<H", c, 6, struct.unpack_from("<H", c, 6)[0] | 1), 9),
    broken("has one of several shards", lambda c: struct.pack_into("<H", c, 6, struct.unpack_from("<H", c, 6)[0] | 16), 9),
    broken("has a file that announces metadata beyond all use", field(20, "<I", 0xFFFFFFFF)),
    broken("has a file that puts its metadata behind its end", field(12, "<Q", 2**40)),
    broken("has a file that puts its index behind its end", field(24, "<Q", 2**40)),
    broken("has a file that announces more tensors than there are", field(8, "<I", 0x00FFFFFF)),
    broken("has a file with one tensor too many in the header", lambda c: struct.pack_into(
        "<I", c, 8, struct.unpack_from("<I", c, 8)[0] + 1)),
    broken("has metadata that are no JSON", metadata(b'{"', b'["')),
    broken("has a tensor of an unknown type", dtype(99)),
    broken("has a tensor of nine dimensions", rank(9)),
    broken("has a tensor at a place that is not aligned", offset(0, 3)),
    broken("has a tensor behind the end", offset(0, 2**40 * 64)),
    broken("has two tensors in one place", offset(2, 0)),
    broken("has a tensor with a size that is not its shape's", stored(12)),
    broken("has a tensor with a dimension beyond 64 bits", dimension(2**63)),
    broken("has names that are out of order", same_name),
    broken("has a name that is too long", index_entry(0, lambda c, place, size: struct.pack_into("<H", c, place, 60000))),
    broken("has a name that is empty", index_entry(0, lambda c, place, size: struct.pack_into("<H", c, place, 0))),
    broken("has a name that is not UTF-8", index_entry(0, lambda c, place, size: c.__setitem__(place + 2, 0xFF))),
    validate("lost the end of a file", lambda c: c[:-100]),
    validate("has something behind the end of a file", lambda c: c + b"more", sealed=False),
    validate("has one flipped bit in the weights", flip(Q)),
    validate("changed a word of the metadata", metadata(b"qwen2", b"qwen3")),
    broken("would shrink a model with a flipped bit", flip(Q), 4, "apr convert broken.apr --quantize int8 -o out.apr"),
    broken("would export a model with a flipped bit", flip(Q), 4, "apr export broken.apr -o out"),
    broken("asks for the lineage of a damaged model", lambda c: c[:len(c) // 2], 4, "apr lineage broken.apr"),
    broken("has a name that is in the index twice", twice),
    broken("has metadata that are a list", lambda c: metadata_text(c, b"[]")),
    broken("has an index of another dialect", lambda c: c.__setitem__(slice(at_index(c), at_index(c) + 4), b'[{"n'), 9),
    validate("has padding with something in it", lambda c: pad(c)),
    validate("has a file without a checksum in its header", lambda c: struct.pack_into("<I", c, 40, 0), sealed=False),
    case("has a v1 file that is cut short", "apr inspect broken.apr", 4, file("broken.apr", b"APRN" + bytes([1, 0]) + bytes(10))),
]
