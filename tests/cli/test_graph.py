"""apr graph: figures checked against sums over the config, drawings against Graphviz."""
import json
import re
import shutil
import subprocess

import checkpoints
import framework


def nodes_of(report):
    return {node["name"]: node for node in report["nodes"]}


def test_nodes_weights_and_caches(t):
    report = t.json("graph", t.tiny())
    nodes = nodes_of(report)
    t.equal(len(report["nodes"]), report["total_nodes"])
    up = nodes["layer2.mlp.up_proj"]
    t.equal(up["op"], "linear")
    t.equal(up["inputs"], ["layer2.post_attention_norm"])
    t.equal(up["parameters"], [{"tensor": "model.layers.2.mlp.up_proj.weight", "shape": [768, 256], "type": "bf16",
                                "bytes": 768 * 256 * 2}])
    t.equal(nodes["layer0.attn"]["cache"], "layer0")
    t.equal(len(report["caches"]), 4)
    t.equal(report["cache_bytes_per_token"], 4 * 2 * 2 * 64 * 4)
    t.equal(nodes["logits"]["parameters"][0]["stored_as"], "model.embed_tokens.weight")


def test_every_input_is_made_before_it_is_used(t):
    report = t.json("graph", t.tiny())
    known = {value["name"] for value in report["inputs"]}
    for node in report["nodes"]:
        t.check(set(node["inputs"]) <= known, f"{node['name']} uses what is not there yet")
        known |= {value["name"] for value in node["outputs"]}
    t.check({value["name"] for value in report["outputs"]} <= known, "an output is made by nobody")


def test_costs_follow_from_the_config(t):
    """Two operations per weight of every matrix; weights are moved once, whatever they are stored as."""
    config = json.loads((framework.BUNDLED / "config.json").read_text())
    h, feed, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    layers, kv = config["num_hidden_layers"], 2 * 64
    matrices = layers * (2 * h * h + 2 * h * kv + 3 * h * feed) + vocab * h
    tiny = t.tiny()
    t.ok("convert", tiny, "--quantize", "int8", "-o", "int8.apr")
    for model, bytes_per_weight in [(tiny, 2), ("int8.apr", 34 / 32)]:
        report = t.json("graph", model)
        linear = [node for node in report["nodes"] if node["op"] == "linear"]
        flops = sum(node["cost"]["flops"] for node in linear)
        t.check(abs(flops / (2 * matrices) - 1) < 0.01, f"{model}: {flops} operations, {2 * matrices} expected")
        weights = sum(p["bytes"] for node in linear for p in node["parameters"] if len(p["shape"]) == 2)
        t.equal(weights, matrices * bytes_per_weight, model)
        moved = sum(node["cost"]["bytes"] for node in linear)
        t.check(weights < moved < weights * 1.05, f"{model}: {moved} bytes moved for {weights} bytes of weights")
    short = t.json("graph", tiny, "--context", "16")["flops"]
    t.check(short < t.json("graph", tiny, "--context", "512")["flops"], "a longer context costs nothing")


def test_equal_layers_are_shown_once(t):
    text = t.ok("graph", t.tiny()).out
    t.contains(text, "layers 0-3, 4 times", "attn.q_proj", "(layer before)", "256×256 bf16, 256 bf16", "final_norm")
    t.equal(len(re.findall("mlp.up_proj", text)), 2, "lines with the node (its own, and where it goes)")
    t.lacks(text, "layer2")


def test_a_layer_that_differs_stands_alone(t):
    tensors = checkpoints.weights()
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.contains(t.ok("graph", source).out, "layers 0-1, 2 times")
    path = source / "model.safetensors"
    # the same numbers, one matrix of layer 1 in another type
    import struct
    name = "model.layers.1.mlp.up_proj.weight"
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    parts, body = {}, data[8 + size:]
    for key, entry in sorted(header.items()):
        raw = body[slice(*entry["data_offsets"])]
        if key == name:
            entry["dtype"], raw = "BF16", b"".join(raw[i + 2:i + 4] for i in range(0, len(raw), 4))
        entry["data_offsets"] = [sum(map(len, parts.values())), 0]
        parts[key] = raw
        entry["data_offsets"][1] = entry["data_offsets"][0] + len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts[k] for k in sorted(parts)))
    text = t.ok("graph", source).out
    t.contains(text, "layer 0\n", "layer 1\n", "96×64 bf16")


def test_some_nodes(t):
    report = t.json("graph", t.tiny(), "--nodes", "layer1.attn*")
    t.check(report["nodes"] and all(n["name"].startswith("layer1.attn") for n in report["nodes"]), report["nodes"])
    t.equal(report["total_nodes"], 64)
    t.equal(len(t.json("graph", "tiny.apr", "--nodes", "up_proj")["nodes"]), 4)
    t.fails(3, "graph", "tiny.apr", "--nodes", "layer9.*", says="layer9.*", hint="names look like embed")


def test_the_drawing_is_what_graphviz_reads(t):
    tiny = t.tiny()
    t.ok("graph", tiny, "--format", "dot", "-o", "m.dot")
    t.equal(t.path("m.dot").read_text(), t.ok("graph", tiny, "--format", "dot").out)
    if shutil.which("dot") is None:
        raise framework.Skip("Graphviz is not installed")
    done = subprocess.run(["dot", "-Tjson", t.path("m.dot")], capture_output=True, timeout=60)
    t.equal(done.stderr, b"")
    drawn = json.loads(done.stdout)
    names = {x["name"] for x in drawn["objects"] if "_gvid" in x and not x["name"].startswith("cluster_")}
    report = t.json("graph", tiny)
    t.equal(names, {n["name"] for n in report["nodes"]} | {"input token_ids", "input positions"})
    t.equal(len(drawn["edges"]), sum(len(n["inputs"]) for n in report["nodes"]), "edges")
    t.equal(sum(x["name"].startswith("cluster_") for x in drawn["objects"]), 4, "layers")


def test_a_drawing_of_hostile_names(t):
    """A tensor's name may hold quotes and backslashes; the config decides names of nodes only in number."""
    source = checkpoints.write_folder(t.path('a"b\\c'))
    out = t.ok("graph", source, "--format", "dot").out
    if shutil.which("dot") is None:
        raise framework.Skip("Graphviz is not installed")
    t.equal(subprocess.run(["dot", "-Tjson"], input=out.encode(), capture_output=True, timeout=60).returncode, 0)


def test_the_output_is_not_replaced_unasked(t):
    t.path("g.dot").write_text("mine")
    t.fails(5, "graph", t.tiny(), "-o", "g.dot", hint="--force")
    t.equal(t.path("g.dot").read_text(), "mine")
    t.ok("graph", "tiny.apr", "-o", "g.dot", "--force")


def test_contradictions_and_limits(t):
    t.fails(2, "graph", t.tiny(), "--format", "dot", "--json", says="contradict")
    t.fails(2, "graph", "tiny.apr", "--context", "100000", says="1024", hint="use at most 1024")
    t.equal(json.loads(t.ok("graph", "tiny.apr", "--format", "json").out), t.json("graph", "tiny.apr"))


def test_windows_of_some_layers(t):
    """The first layer sees everything, the others a window: the line says whose window it is."""
    config = dict(checkpoints.CONFIG, use_sliding_window=True, sliding_window=5, max_window_layers=1)
    source = checkpoints.write_folder(t.path("m"), config=config)
    t.contains(t.ok("graph", source).out, "1 of them keep 5 positions")
    t.equal([c["window"] for c in t.json("graph", source)["caches"]], [0, 5])


def test_other_architectures(t):
    gpt2 = t.json("graph", framework.shared("arch/tiny-gpt2"))
    q = nodes_of(gpt2)["layer0.attn.q_proj"]["parameters"][0]
    t.equal((q["tensor"], q["transforms"]), ("transformer.h.0.attn.c_attn.weight", ["transpose", "rows 0 to 128"]))
    whisper = t.json("graph", framework.shared("arch/tiny-whisper"))
    t.check(whisper["encoder_cost"]["flops"] > 0 and any(c["cross"] for c in whisper["caches"]), "no encoder")
    mistral = t.json("graph", framework.shared("arch/tiny-mistral"))
    t.equal({c["window"] for c in mistral["caches"]}, {16})


framework.main(globals())
