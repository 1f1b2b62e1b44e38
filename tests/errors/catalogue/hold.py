import hashlib
import json
import struct

import checkpoints
from case import case
from fixtures import BUNDLED, bert, checkpoint, damaged, file, flip, model, put, setup, small, tiny, whisper

TITLE = "Checks: validate, test-model, trace, canary, lineage, graph"
GOLDEN = BUNDLED / "golden"


def trace(change=None, tensors=None, name="golden"):
    """A trace of the bundled model, changed."""
    def make(base):
        target = base / name
        target.mkdir()
        read = json.loads((GOLDEN / "golden.json").read_text())
        if change:
            changed = change(read)
            read = changed if isinstance(changed, list) else read
        weights = (GOLDEN / "golden.safetensors").read_bytes()
        if tensors:
            weights = tensors(weights)
            if isinstance(read, dict) and "tensor_file_sha256" in read:
                read["tensor_file_sha256"] = hashlib.sha256(weights).hexdigest()
        (target / "golden.safetensors").write_bytes(weights)
        (target / "golden.json").write_text(json.dumps(read))
    return make


def golden(wrong, change, code=4, tensors=None):
    return case(wrong, "apr test-model tiny.apr --golden-trace golden/golden.json", code, tiny, trace(change, tensors))



def first(**values):
    return lambda read: read["prompts"][0].update(values)


def canary(change=None):
    def make(base):
        setup("canary", "create", "small.apr", "-o", "canary.json", "--prompt", "Hello")(base)
        read = json.loads((base / "canary.json").read_text())
        if change:
            change(read)
        (base / "canary.json").write_text(json.dumps(read))
    return make


def check(wrong, change, code=4):
    return case(wrong, "apr canary check small.apr --canary canary.json", code, small, canary(change))


def lastly(wrong, change):
    return damaged


def nan_in_trace(content):
    (size,) = struct.unpack_from("<Q", content)
    return content[:8 + size] + struct.pack("<f", float("nan")) + content[12 + size:]


T = "apr trace tiny.apr -o t "
CASES = [
    case("validated a checkpoint with a NaN", "apr validate model", 5, checkpoint(
        tensors=lambda all: all["model.layers.1.self_attn.o_proj.weight"][1].__setitem__(100, float("nan"))), show="both"),
    case("validated a checkpoint that lacks a tensor", "apr validate model", 5,
         checkpoint(tensors=lambda all: all.pop("model.norm.weight")), show="both"),
    case("validated a checkpoint with a tensor of another shape", "apr validate model", 5,
         checkpoint(tensors=lambda all: all.__setitem__("model.norm.weight", ([32], [1.0] * 32))), show="both"),
    case("asked for a better score than the model has", "apr validate small.apr --quality --min-score 100", 5, small, show="both"),
    case("tested with a trace that is not there", "apr test-model tiny.apr --golden-trace golden.json", 3, tiny),
    case("tested with a text", "apr test-model tiny.apr --golden-trace golden.json", 4, tiny, file("golden.json", "Hello")),
    case("tested another model with the trace", "apr test-model small.apr --golden-trace golden/golden.json", 5, small, trace(),
         show="both"),
    case("tested a model that computes something else", "apr test-model broken.apr --golden-trace golden/golden.json", 5,
         damaged(lambda c: struct.pack_into("<H", c, checkpoints.apr_index(bytes(c))["model.norm.weight"][2], 0x4700),
                 source="tiny.apr"), trace(), show="both",
         hide=[(r"-?\d[\d.]*e[+-]\d+|-?\d+\.\d+", "…"), (r" +…", "  …")]),
    golden("tested with a trace of a later format", lambda read: read.update(format=2)),
    golden("tested with a trace that is a list", lambda read: []),
    golden("tested with a trace without prompts", lambda read: read.update(prompts=[])),
    golden("tested with a trace whose prompt has no name", lambda read: read["prompts"][0].pop("name")),
    golden("tested with a trace whose prompt has no text", lambda read: read["prompts"][0].pop("prompt")),
    golden("tested with a trace that names two prompts alike", lambda read: read["prompts"][1].update(name="one")),
    golden("tested with a trace without ids", first(ids=[])),
    golden("tested with a trace whose ids are texts", first(ids=["Hello"])),
    golden("tested with a trace with an id beyond the vocabulary", first(ids=[99999]), 5),
    golden("tested with a trace with a negative id", first(ids=[-1])),
    golden("tested with a trace that stops behind its end", first(greedy_stop_index=99)),
    golden("tested with a trace without tensors", first(tensors=[])),
    golden("tested with a trace whose tensors belong to another prompt", first(tensors=["two.embed"])),
    golden("tested with a trace with a tensor that its file lacks", first(tensors=["one.embedding"])),
    golden("tested with a trace that leads out of its folder", lambda read: read.update(tensor_file="../x.safetensors")),
    golden("tested with a trace whose tensors were changed", lambda read: read.update(tensor_file_sha256="0" * 64)),
    golden("tested with a trace with a NaN in it", None, 4, nan_in_trace),
    golden("tested with a trace with a prompt beyond the context", first(ids=[1] * 1100), 5),
    golden("tested with a trace that wants a recording", lambda read: read.update(audio_file="speech.wav"), 5),
    case("asked for the recorded features of a text model", "apr test-model tiny.apr --golden-trace golden/golden.json "
         "--features-from-trace", 2, tiny, trace()),
    case("traced nothing", "apr trace tiny.apr", 2, tiny),
    case("traced a prompt and ids", "apr trace tiny.apr --prompt Hello --ids 1,2", 2, tiny),
    case("traced words as ids", "apr trace tiny.apr --ids Hello", 2, tiny),
    case("traced an id that there is not", "apr trace tiny.apr --ids 1,99999", 2, tiny),
    case("traced an empty prompt", "apr trace tiny.apr --prompt ''", 2, tiny),
    case("traced with a filter that matches nothing", "apr trace tiny.apr --prompt Hello --nodes 'layers.9*'", 3, tiny),
    case("traced more than the context holds", "apr trace tiny.apr --prompt Hello --greedy 5000", 2, tiny),
    case("traced a pair with ids", "apr trace tiny.apr --ids 1,2 --pair there", 2, tiny),
    case("traced a pair with a model of single texts", "apr trace tiny.apr --prompt Hello --pair there", 2, tiny),
    case("traced token types with a prompt", "apr trace tiny.apr --prompt Hello --token-types 0", 2, tiny),
    case("traced a sound with a model of text", "apr trace tiny.apr --prompt Hello --audio speech.wav", 2, tiny),
    case("traced under a name with a dot", "apr trace tiny.apr --prompt Hello --name a.b", 2, tiny),
    case("made a canary from a file of prompts that is empty", "apr canary create tiny.apr -o c.json --prompts p.txt", 4, tiny,
         file("p.txt")),
    case("made a canary from an empty prompt", "apr canary create tiny.apr -o c.json --prompt ''", 2, tiny),
    case("made a canary from a prompt beyond the context",
         "apr canary create tiny.apr -o c.json --prompt \"$(printf 'word %.0s' {1..2000})\"", 2, tiny),
    case("made a canary of a model with a NaN", "apr canary create model -o c.json --prompt Hello", 5,
         checkpoint(tensors=lambda all: all["model.norm.weight"][1].__setitem__(0, float("nan")))),
    case("held a model with one changed weight to its canary", "apr canary check broken.apr --canary canary.json", 5, small,
         canary(), damaged(flip("model.layers.0.self_attn.q_proj.weight")), show="both"),
    case("held another model to a canary", "apr canary check tiny.apr --canary canary.json", 5, small, tiny, canary(), show="both"),
    case("held a model to a canary that is not there", "apr canary check tiny.apr --canary canary.json", 3, tiny),
    case("held a model to what is no canary", "apr canary check tiny.apr --canary canary.json", 4, tiny, file("canary.json", "{}")),
    check("held a model to a canary that lost its tensors", lambda read: read.pop("tensors")),
    check("held a model to a canary with a text for a number", lambda read: read.update(tensor_count="many")),
    check("held a model to a canary without prompts", lambda read: read.update(prompts=[])),
    check("held a model to a canary whose prompt lost its ids", lambda read: read["prompts"][0].update(ids=[])),
    check("held a model to a canary with a broken digest", lambda read: next(iter(read["tensors"].values())).update(sha256="abc")
          if isinstance(read["tensors"], dict) else read["tensors"][0].update(sha256="abc")),
    check("held a model to a canary with ids of another model", lambda read: read["prompts"][0].update(ids=[99999]), 4),
    case("asked for the lineage of what is no model", "apr lineage notes.txt", 4, file("notes.txt", "Hello " * 20)),
    case("asked for a lineage with a parent that is another model", "apr lineage int8.apr --parent small.apr", 5,
         model("int8.apr", "int8.apr"), small, show="both"),
    case("drew a graph with nodes that there are not", "apr graph tiny.apr --nodes 'layers.9*'", 3, tiny),
    case("drew a graph for more context than the model has", "apr graph tiny.apr --context 5000", 2, tiny),
    case("asked for JSON and a drawing", "apr graph tiny.apr --format dot --json", 2, tiny, show="err"),
    case("drew a graph of a model that cannot be built", "apr graph model", 4, checkpoint(config=put(hidden_size=None))),
    case("listed tensors that there are not", "apr tensors tiny.apr --filter 'layers.9*'", 3, tiny),
    golden("tested with a trace of tensors without ids", first(ids="Hello")),
    golden("tested with a trace of token types of another length", first(token_type_ids=[0, 0, 0])),
    golden("tested with a trace of a mask with a hole", first(attention_mask=[0])),
    golden("tested with a trace of two sequences and greedy ids", first(ids=[[893], [894]])),
    golden("tested with a trace of sequences of different lengths", first(ids=[[893], [894, 895]], greedy_ids=[], top10_ids=[])),
    golden("tested with a trace of token types that the model does not know", first(token_type_ids=[1]), 5),
    golden("tested with a trace of a recording outside of its folder", lambda read: read.update(audio_file="../speech.wav")),
    case("tested an encoder with a trace of next tokens", "apr test-model bert --golden-trace golden/golden.json", 5, bert(), trace(
        lambda read: [p.update(ids=[2, 5, 3]) for p in read["prompts"]] and None)),
    case("tested a speech model with a trace of text", "apr test-model whisper --golden-trace golden/golden.json", 5, whisper(), trace()),
    case("compared a checkpoint with a trace of ids in words", "apr trace tiny.apr --ids 1,,2", 2, tiny),
    check("held a model to a canary whose shape is a text", lambda read: read["tensors"][0].update(shape=["a"])),
    check("held a model to a canary whose sample is empty", lambda read: read["prompts"][0].update(sample=[])),
    check("held a model to a canary whose sample holds words", lambda read: read["prompts"][0].update(sample=["a"])),
    check("held a model to a canary with indexes beyond its features", lambda read: read["prompts"][0].update(
        top=[10**6] * len(read["prompts"][0]["top"]))),
    check("held a model to a canary with a token beyond the vocabulary", lambda read: read["prompts"][0].update(
        ids=[99999] * len(read["prompts"][0]["ids"]))),
    check("held a model to a canary whose settings are a number", lambda read: read["setup"].update(config=7)),
    check("held a model to a canary whose generation settings are a number", lambda read: read["setup"].update(generation=7)),
    check("held a model to a canary whose tokenizer's ids are a text", lambda read: read["setup"]["tokenizer"].update(ids="many")),
]
