import checkpoints
import framework


def test_facts(t):
    t.tiny()
    text = t.ok("inspect", "tiny.apr").out
    t.contains(text, "qwen2", "3,674,368", "4 (2 KV)", "2,048", "1,024", "tied to the embedding", "bf16")


def test_json_keys(t):
    t.tiny()
    report = t.json("inspect", "tiny.apr")
    wanted = {"architecture": "qwen2", "num_layers": 4, "num_heads": 4, "num_kv_heads": 2, "head_dim": 64,
              "hidden_size": 256, "vocab_size": 2048, "parameters": 3674368, "max_position_embeddings": 1024,
              "chat_template": True, "synthetic": False,
              "size_bytes": t.path("tiny.apr").stat().st_size}
    for key, value in wanted.items():
        t.equal(report[key], value, key)


def test_sources_that_are_not_apr(t):
    report = t.json("inspect", framework.BUNDLED)
    t.equal(report["format"], "safetensors")
    t.equal(report["parameters"], 3674368)
    t.equal(report["content_root"], None)


def test_quantization(t):
    t.tiny()
    t.contains(t.ok("inspect", "tiny.apr", "--quantization").out, "Not quantized.")
    t.ok("convert", "tiny.apr", "--quantize", "q4_0", "-o", "q.apr")
    t.contains(t.ok("inspect", "q.apr", "--quantization").out, "Type: q4_0, block size: 32, bits/weight: 4.5")


def test_content_root_differs_with_one_weight(t):
    tensors = checkpoints.weights()
    a = checkpoints.write_folder(t.path("a"), tensors)
    tensors["model.norm.weight"][1][3] += 0.5
    b = checkpoints.write_folder(t.path("b"), tensors)
    t.ok("import", a, "-o", "a.apr", "--name", "x")
    t.ok("import", b, "-o", "b.apr", "--name", "x")
    roots = {t.json("inspect", f"{x}.apr")["content_root"] for x in "ab"}
    t.equal(len(roots), 2, "number of content roots")


def test_version_one_files(t):
    path = framework.shared("apr-fixtures/mnist_784x2.apr")
    report = t.json("inspect", path)
    t.equal(report["checksum"], "valid")
    t.equal(report["payload_bytes"], 3165)
    t.equal(report["model_type"], "LogisticRegression")
    broken = bytearray(path.read_bytes())
    broken[2000] ^= 1
    t.path("broken.apr").write_bytes(broken)
    t.equal(t.json("inspect", "broken.apr")["checksum"], "wrong")
    t.path("short.apr").write_bytes(path.read_bytes()[:1000])
    t.fails(4, "inspect", "short.apr", says="short.apr")


def test_files_of_the_original_program(t):
    for name in ["reconstructed_golden_v2_current.apr", "reconstructed_golden_v2_nulls.apr"]:
        report = t.json("inspect", framework.shared(f"apr-fixtures/{name}"))
        t.equal(report["name"], "golden-v2", name)
        t.equal(report["parameters"], 9, name)


def test_tensors(t):
    t.tiny()
    report = t.json("tensors", "tiny.apr")
    t.equal(report["count"], 51)
    entry = {x["name"]: x for x in report["tensors"]}["lm_head.weight"]
    t.equal(entry["shape"], [2048, 256])
    t.equal(entry["alias_of"], "model.embed_tokens.weight")


def test_tensors_filter_and_limit(t):
    t.tiny()
    names = lambda *words: [x["name"] for x in t.json("tensors", "tiny.apr", *words)["tensors"]]
    t.equal(len(names("--filter", "mlp")), 12)
    t.equal(len(names("--filter", "*.layers.[01].mlp.*_proj.weight")), 6)
    t.equal(len(names("--filter", "mlp", "--limit", "5")), 5)
    t.equal(len(names("--limit", "0")), 51)
    t.fails(3, "tensors", "tiny.apr", "--filter", "nothing", says="'nothing'")


def test_statistics_are_right(t):
    source = checkpoints.write_folder(t.path("src"))
    found = {x["name"]: x["stats"] for x in t.json("tensors", source, "--stats")["tensors"]}
    import struct
    for name, (_, floats) in checkpoints.weights().items():
        exact = struct.unpack(f"<{len(floats)}f", struct.pack(f"<{len(floats)}f", *floats))
        mean = sum(exact) / len(exact)
        deviation = (sum((x - mean) ** 2 for x in exact) / len(exact)) ** 0.5
        t.check(abs(found[name]["mean"] - mean) < 1e-12, f"{name}: mean")
        t.check(abs(found[name]["std"] - deviation) < 1e-12, f"{name}: deviation")
        t.equal(found[name]["min"], min(exact), name)
        t.equal(found[name]["max"], max(exact), name)


def test_statistics_do_not_depend_on_threads(t):
    t.tiny()
    one = t.ok("tensors", "tiny.apr", "--stats", "--json", "--threads", "1").out
    t.equal(t.ok("tensors", "tiny.apr", "--stats", "--json", "--threads", "5").out, one)


def test_statistics_count_what_is_not_finite(t):
    tensors = checkpoints.weights()
    tensors["model.norm.weight"][1][:3] = [float("nan"), float("inf"), 0.0]
    source = checkpoints.write_folder(t.path("src"), tensors)
    stats = t.json("tensors", source, "--stats", "--filter", "model.norm.weight")["tensors"][0]["stats"]
    t.equal((stats["nans"], stats["infinities"], stats["zeros"]), (1, 1, 1))
    t.check(stats["mean"] is not None and abs(stats["mean"]) < 1, "the mean is not over the finite elements")


framework.main(globals())
