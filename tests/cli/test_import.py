import hashlib
import json
import os

import checkpoints
import framework
from framework import BUNDLED


def fingerprints(folder):
    return {p.name: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns)
            for p in folder.iterdir() if p.is_file()}


def test_bundled_model(t):
    report = t.json("import", BUNDLED, "-o", "m.apr")
    t.equal(report["architecture"], "qwen2")
    t.equal(report["parameters"], 3674368)
    t.equal(report["output_bytes"], t.path("m.apr").stat().st_size)
    t.equal([x["tensor"] for x in report["tied"]], ["lm_head.weight"])
    t.equal(t.files(), ["m.apr"])


def test_tied_head_stores_nothing(t):
    data = t.tiny().read_bytes()
    index = checkpoints.apr_index(data)
    t.equal(index["lm_head.weight"], index["model.embed_tokens.weight"])


def test_weights_arrive_bit_for_bit(t):
    source = checkpoints.write_folder(t.path("src"))
    t.ok("import", source, "-o", "m.apr")
    raw = (source / "model.safetensors").read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    made = t.path("m.apr").read_bytes()
    index = checkpoints.apr_index(made)
    for name, entry in header.items():
        begin, end = (8 + size + x for x in entry["data_offsets"])
        _, shape, offset, stored = index[name]
        t.equal(shape, entry["shape"], name)
        t.check(made[offset:offset + stored] == raw[begin:end], f"{name} differs")


def test_twice_gives_the_same_bytes(t):
    source = checkpoints.copy_bundled(t.path("model"))
    t.ok("import", source, "-o", "a.apr", "--threads", "1")
    os.utime(source / "config.json", (1, 1))
    t.ok("import", source, "-o", "b.apr", "--threads", "4")
    t.check(t.path("a.apr").read_bytes() == t.path("b.apr").read_bytes(), "the files differ")


def test_another_folder_gives_the_same_bytes(t):
    t.path("x").mkdir(), t.path("y").mkdir()
    a = checkpoints.copy_bundled(t.path("x") / "model")
    b = checkpoints.copy_bundled(t.path("y") / "model")
    t.ok("import", a, "-o", "a.apr")
    t.ok("import", b, "-o", "b.apr")
    t.check(t.path("a.apr").read_bytes() == t.path("b.apr").read_bytes(), "the files differ")


def test_source_is_not_touched(t):
    source = checkpoints.copy_bundled(t.path("model"))
    before = fingerprints(source)
    t.ok("import", source, "-o", "m.apr")
    t.equal(fingerprints(source), before, "the source")


def test_single_file_with_its_config_beside_it(t):
    source = checkpoints.copy_bundled(t.path("model"))
    t.equal(t.json("import", source / "model.safetensors", "-o", "m.apr")["architecture"], "qwen2")


def test_lineage_names_every_source_file_with_its_digest(t):
    source = checkpoints.copy_bundled(t.path("model"))
    t.ok("import", source, "-o", "m.apr")
    (record,) = t.json("inspect", "m.apr")["lineage"]
    t.equal(record["stage"], "import")
    t.contains(record["plugin"], "importer_safetensors")
    digests = {x["name"]: x["sha256"] for x in record["inputs"]}
    for name in ["model.safetensors", "config.json", "tokenizer.json"]:
        t.equal(digests.get(name), hashlib.sha256((source / name).read_bytes()).hexdigest(), name)


def test_name(t):
    t.ok("import", BUNDLED, "-o", "m.apr", "--name", "my model")
    t.equal(t.json("inspect", "m.apr")["name"], "my model")


def test_architecture_by_name(t):
    t.ok("import", BUNDLED, "-o", "m.apr", "--arch", "qwen2")


def test_wrong_architecture(t):
    t.fails(6, "import", BUNDLED, "-o", "m.apr", "--arch", "llama", says="qwen2")
    t.equal(t.files(), [])


def test_unknown_architecture(t):
    t.fails(3, "import", BUNDLED, "-o", "m.apr", "--arch", "qwen3", hint="did you mean 'qwen2'?")


def test_import_and_shrink(t):
    report = t.json("import", BUNDLED, "-o", "m.apr", "--quantize", "int4")
    t.equal(report["quantization"]["type"], "q4_0")
    t.equal([r["stage"] for r in t.json("inspect", "m.apr")["lineage"]], ["import", "convert"])


def test_refuses_to_overwrite(t):
    t.path("m.apr").write_text("precious")
    t.fails(5, "import", BUNDLED, "-o", "m.apr", says="m.apr", hint="--force")
    t.equal(t.path("m.apr").read_text(), "precious")
    t.ok("import", BUNDLED, "-o", "m.apr", "--force")
    t.ok("validate", "m.apr")


def test_no_tokenizer(t):
    source = checkpoints.write_folder(t.path("src"), tokenizer=False)
    t.fails(6, "import", source, "-o", "m.apr", says="tokenizer.json", hint="--allow-no-tokenizer")
    t.ok("import", source, "-o", "m.apr", "--allow-no-tokenizer")
    t.equal(t.json("inspect", "m.apr")["tokenizer"], None)


def test_tokenizer_larger_than_the_vocabulary(t):
    config = dict(checkpoints.CONFIG, vocab_size=100)
    tensors = checkpoints.weights()
    shape, floats = tensors["model.embed_tokens.weight"]
    tensors["model.embed_tokens.weight"] = ([100, shape[1]], floats[:100 * shape[1]])
    source = checkpoints.write_folder(t.path("src"), tensors, config)
    t.fails(5, "import", source, "-o", "m.apr", says=["257", "100"])


def test_an_apr_file_is_not_imported(t):
    t.fails(2, "import", t.tiny(), "-o", "m.apr", hint="apr convert")


def test_hub_address(t):
    t.fails(9, "import", "hf://Qwen/Qwen2-0.5B", "-o", "m.apr", says="the hub importer is not there yet",
            hint="import the folder")
    t.fails(9, "import", "https://example.org/m", "-o", "m.apr", says="the hub importer is not there yet")


def test_head_that_contradicts_the_config(t):
    tensors = checkpoints.weights()
    shape, floats = tensors["model.embed_tokens.weight"]
    tensors["lm_head.weight"] = (shape, [-x for x in floats])
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.fails(5, "import", source, "-o", "m.apr", says=["lm_head.weight", "tie"])


def test_head_copied_beside_its_embedding_is_stored_once(t):
    tensors = checkpoints.weights()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.ok("import", source, "-o", "m.apr")
    index = checkpoints.apr_index(t.path("m.apr").read_bytes())
    t.equal(index["lm_head.weight"], index["model.embed_tokens.weight"])


def test_names_without_the_prefix_of_the_class(t):
    """What a bare ...Model saves: no "model." before the names."""
    whole = checkpoints.write_folder(t.path("whole"))
    bare = checkpoints.write_folder(
        t.path("bare"), {name.removeprefix("model."): value for name, value in checkpoints.weights().items()})
    t.ok("import", bare, "-o", "m.apr")
    t.equal(t.ok("compare-hf", "m.apr", bare).code, 0)
    words = ["--prompt", "Hello", "--max-tokens", "8", "--allow-synthetic", "--json"]
    t.equal(json.loads(t.ok("run", "m.apr", *words).out)["ids"], json.loads(t.ok("run", whole, *words).out)["ids"])
    t.ok("convert", "m.apr", "--quantize", "int8", "-o", "q.apr")
    t.ok("compare-hf", "q.apr", bare)
    del (config := dict(checkpoints.CONFIG))["tie_word_embeddings"]
    t.fails(5, "import", checkpoints.write_folder(t.path("headless"), config=config), "-o", "h.apr",
            says="lm_head.weight")


def test_stories(t):
    source = framework.shared("stories260K")
    t.equal(t.json("import", source, "-o", "m.apr")["architecture"], "llama")
    t.ok("validate", "m.apr")


framework.main(globals())
