import json
import struct

import checkpoints
from case import case
from fixtures import checkpoint, file, folder, put, safetensors, setup, small, tiny

TITLE = "Checkpoints to be imported"
IMPORT = "apr import model -o model.apr"
Q = "model.layers.0.self_attn.q_proj.weight"


def tensors(change):
    return checkpoint(tensors=change)


def drop(name):
    return tensors(lambda all: all.pop(name))


def rename(old, new):
    return tensors(lambda all: all.__setitem__(new, all.pop(old)))


def shard(index, *names):
    """A folder with an index and shards that hold the tensors named."""
    def make(base):
        target = base / "model"
        checkpoint()(base)
        (target / "model.safetensors").unlink()
        weights = checkpoints.weights()
        half = len(weights) // 2
        ordered = sorted(weights)
        for number, part in enumerate((ordered[:half], ordered[half:]), 1):
            checkpoints.write_safetensors(target / f"model-0000{number}-of-00002.safetensors", {n: weights[n] for n in part})
        entries = {n: f"model-0000{1 + (ordered.index(n) >= half)}-of-00002.safetensors" for n in ordered}
        written = index(entries)
        (target / "model.safetensors.index.json").write_text(json.dumps(written))
    return make


def setup_small():
    """A folder that apr exported."""
    def make(base):
        small(base)
        setup("export", "small.apr", "-o", "out")(base)
    return make


def one(name="x", **values):
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    entry.update(values)
    return {name: {key: value for key, value in entry.items() if value is not None}}


def header(wrong, content, code=4, payload=b"\0" * 16):
    return case(wrong, "apr tensors model/model.safetensors", code, file("model/config.json", json.dumps(checkpoints.CONFIG)),
                safetensors("model/model.safetensors", content, payload))


def integers(base):
    """Weights that are whole numbers."""
    path = base / "model" / "model.safetensors"
    content = path.read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    read = json.loads(content[8:8 + size])
    for entry in read.values():
        if entry["dtype"] == "F32":
            entry["dtype"] = "I32"
    text = json.dumps(read).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size:])


CASES = [
    case("imported from a folder that is not there", "apr import qwen -o model.apr", 3),
    case("named a repository of the hub", "apr import hf://Qwen/Qwen2-0.5B-Instruct -o model.apr", 9),
    case("named an address", "apr import https://example.org/model.safetensors -o model.apr", 9),
    case("imported what is imported already", "apr import tiny.apr -o model.apr", 2, tiny),
    case("imported an empty folder", IMPORT, 3, folder("model")),
    case("imported a folder that holds a pickle", IMPORT, 9, file("model/config.json", "{}"),
         file("model/pytorch_model.bin", b"\x80\x02}q\x00.")),
    case("imported a folder that holds a .bin file of another kind", IMPORT, 9, file("model/config.json", "{}"),
         file("model/pytorch_model.bin", b"PK")),
    case("imported a pickle", "apr import pytorch_model.bin -o model.apr", 9, file("pytorch_model.bin", b"\x80\x02}q\x00.")),
    case("imported a zip archive of PyTorch", "apr import model.pt -o model.apr", 9, file("model.pt", b"PK\x03\x04" + bytes(60))),
    case("imported a GGUF file", "apr import model.gguf -o model.apr", 9, file("model.gguf", b"GGUF" + bytes(60))),
    case("imported a folder that holds a GGUF file", IMPORT, 9, file("model/model.gguf", b"GGUF" + bytes(60))),
    case("fetched a large file's pointer instead of the file", IMPORT, 4, checkpoint(
        model__safetensors="version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 988097824\n")),
    case("left config.json behind", IMPORT, 3, checkpoint(config__json=None)),
    case("has a config.json that is a list", IMPORT, 4, checkpoint(config__json="[]")),
    case("has several weights files and no index", IMPORT, 3, checkpoint(), file("model/a.safetensors"),
         file("model/b.safetensors"), lambda base: (base / "model/model.safetensors").unlink()),
    case("has shards and no index", IMPORT, 3, shard(lambda all: {"weight_map": all}),
         lambda base: (base / "model/model.safetensors.index.json").unlink()),
    case("imported one shard of several", "apr import model/model-00001-of-00002.safetensors -o model.apr", 2,
         shard(lambda all: {"weight_map": all})),
    case("has an index without a map", IMPORT, 4, shard(lambda all: {"metadata": {}})),
    case("has an index that leads out of the folder", IMPORT, 4,
         shard(lambda all: {"weight_map": all | {"model.norm.weight": "../secrets.safetensors"}})),
    case("has an index that names no file", IMPORT, 4, shard(lambda all: {"weight_map": all | {"model.norm.weight": 7}})),
    case("has an index that names another kind of file", IMPORT, 4,
         shard(lambda all: {"weight_map": all | {"model.norm.weight": "model.bin"}})),
    case("lost a shard", IMPORT, 3, shard(lambda all: {"weight_map": all}),
         lambda base: (base / "model/model-00002-of-00002.safetensors").unlink()),
    case("has an index that puts a tensor into the wrong shard", IMPORT, 4,
         shard(lambda all: {"weight_map": all | {"model.norm.weight": "model-00001-of-00002.safetensors"}})),
    case("has an index that promises a tensor too many", IMPORT, 4,
         shard(lambda all: {"weight_map": all | {"extra.weight": "model-00001-of-00002.safetensors"}})),
    case("has an index that lacks a tensor", IMPORT, 4,
         shard(lambda all: {"weight_map": {n: f for n, f in all.items() if n != "model.norm.weight"}})),
    case("lacks a tensor", IMPORT, 5, drop("model.layers.1.mlp.up_proj.weight")),
    case("lacks a whole layer", IMPORT, 5, tensors(lambda all: [all.pop(n) for n in list(all) if ".layers.1." in n])),
    case("has a tensor without a use", IMPORT, 5,
         tensors(lambda all: all.__setitem__("model.layers.9.mlp.up_proj.weight", ([2, 2], [1, 2, 3, 4])))),
    case("has a tensor under a wrong name", IMPORT, 5,
         rename("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.upp_proj.weight")),
    case("has a tensor of another shape", IMPORT, 5, tensors(lambda all: all.__setitem__(Q, ([32, 128], all[Q][1])))),
    case("has weights that are whole numbers", IMPORT, 5, checkpoint(), integers),
    case("says tied, but has a head of its own", IMPORT, 5, tensors(
        lambda all: all.__setitem__("lm_head.weight", (all["model.embed_tokens.weight"][0],
                                                       [x + 1 for x in all["model.embed_tokens.weight"][1]])))),
    case("left the tokenizer behind", IMPORT, 6, checkpoint(tokenizer=False)),
    case("took another model's tokenizer", IMPORT, 5, checkpoint(
        config=put(vocab_size=200), tensors=lambda all: all.__setitem__(
            "model.embed_tokens.weight", ([200, 64], all["model.embed_tokens.weight"][1][:200 * 64])))),
    case("gave the wrong architecture", "apr import model -o model.apr --arch llama", 6, checkpoint()),
    case("gave an architecture that there is not", "apr import model -o model.apr --arch lama", 3, checkpoint()),
    case("imported and shrank to a type that there is not", "apr import model -o model.apr --quantize int3", 3, checkpoint()),
    case("has a chat template that is no template", IMPORT, 4,
         checkpoint(tokenizer_config__json={"chat_template": "{% for m in messages %}{{ m.content }}"})),
    header("has an empty weights file", b"", 4),
    case("has a weights file of three bytes", "apr tensors model/model.safetensors", 4, checkpoint(model__safetensors="abc")),
    case("stopped the download of the weights", IMPORT, 4, checkpoint(),
         lambda base: (base / "model/model.safetensors").write_bytes((base / "model/model.safetensors").read_bytes()[:1000])),
    case("stopped the download within the weights", IMPORT, 4, checkpoint(), lambda base:
         (base / "model/model.safetensors").write_bytes((base / "model/model.safetensors").read_bytes()[:100000])),
    case("has a weights file whose header is no JSON", "apr tensors model/model.safetensors", 4, checkpoint(),
         safetensors("model/model.safetensors", b"hello, this is no header at all")),
    case("has a weights file whose header is broken JSON", "apr tensors model/model.safetensors", 4, checkpoint(),
         safetensors("model/model.safetensors", b'{"x": {"dtype": "F32", "shape": [4], }')),
    header("has metadata that are no object", {"__metadata__": 7, **one()}),
    header("has metadata that are no texts", {"__metadata__": {"format": 7}, **one()}),
    header("has a tensor that is described by a number", {"x": 7}),
    header("has a tensor with a member that the format does not know", one(colour="red")),
    header("has a tensor without a place", one(data_offsets=None)),
    header("has a tensor that ends before it begins", one(data_offsets=[16, 0])),
    header("has a tensor that ends behind the file", one(shape=[400], data_offsets=[0, 1600])),
    header("has a tensor whose size is not its shape's", one(shape=[3])),
    header("has a tensor without a type", one(dtype=None)),
    header("has a tensor of a type that is not read", one(dtype="F8_E5M9"), 9),
    header("has a tensor without a shape", one(shape=None)),
    header("has a tensor of nine dimensions", one(shape=[1, 1, 1, 1, 1, 1, 1, 1, 4])),
    header("has a tensor with a negative dimension", one(shape=[-4])),
    header("has two tensors in one place", {**one("x"), **one("y")}),
    header("has a hole between two tensors", {**one("x"), **one("y", data_offsets=[20, 36])}, payload=b"\0" * 36),
    header("has bytes behind the last tensor", one(), payload=b"\0" * 64),
    header("has a tensor name twice", b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, '
                                      b'"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}'),
    header("has a tensor without a name", one("")),
    case("has a header that would be larger than any", "apr tensors model/model.safetensors", 4, checkpoint(),
         file("model/model.safetensors", b"\xff" * 64)),
    case("changed the files of an exported folder's history", "apr lineage out", 4, setup_small(), file("out/apr_lineage.json", "{")),
    case("has an exported folder whose history is of another version", "apr lineage out", 4, setup_small(),
         file("out/apr_lineage.json", '{"format": "apr-lineage", "version": 99}')),
]
