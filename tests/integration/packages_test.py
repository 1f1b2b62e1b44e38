"""Every architecture through import, inspect, validate, convert, export; checkpoints as the hub has them."""
import json
import shutil
import struct

import faults
import framework

MODELS = {"tiny-mistral": "mistral", "tiny-gpt2": "gpt2", "tiny-bert": "bert", "tiny-whisper": "whisper"}


def folder_of(name):
    return framework.shared("arch") / name


def trace_of(name):
    return folder_of(name) / "golden" / "golden.json"


def passes(t, model, name, *words):
    report = t.json("test-model", model, "--golden-trace", trace_of(name), *words)
    t.check(report["passed"], report["first_divergence"])
    return report


def small_files(folder):
    """Relative name -> bytes of all but the weights, the history of an export and the traces."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.name not in ("README.md", "model.safetensors", "apr_lineage.json")
            and path.relative_to(folder).parts[0] != "golden"}


def tensors(path):
    """Name -> dtype, shape, bytes."""
    checkpoint = faults.Checkpoint(path)
    return {name: (entry["dtype"], entry["shape"], bytes(checkpoint.data[slice(*entry["data_offsets"])]))
            for name, entry in checkpoint.header.items() if name != "__metadata__"}


def write_tensors(path, tensors_by_name):
    checkpoint = faults.Checkpoint(path)
    checkpoint.header, checkpoint.data = {}, bytearray()
    for name, (dtype, shape, data) in tensors_by_name.items():
        begin = len(checkpoint.data)
        checkpoint.data += data
        checkpoint.header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + len(data)]}
    checkpoint.save()


def test_every_model_comes_in_and_goes_out_as_it_was(t):
    for name, architecture in MODELS.items():
        t.ok("import", folder_of(name), "-o", f"{name}.apr")
        report = t.json("inspect", f"{name}.apr")
        t.equal(report["architecture"], architecture)
        for key in ["num_layers", "num_heads", "hidden_size", "vocab_size", "max_position_embeddings", "tokenizer"]:
            t.check(report[key], f"{name}: {key} is {report[key]}")
        t.lacks(t.ok("inspect", f"{name}.apr").out, "unknown", "unreadable")
        report = t.json("validate", "--quality", f"{name}.apr")
        t.check(report["passed"], report["problems"])
        t.check(report["score"] >= 90, report["lost"])
        t.json("validate", folder_of(name))
        t.ok("export", f"{name}.apr", "--format", "safetensors", "-o", f"{name}-back")
        back = t.path(f"{name}-back")
        t.equal(tensors(back / "model.safetensors"), tensors(folder_of(name) / "model.safetensors"))
        t.equal(small_files(back), small_files(folder_of(name)))
        t.ok("import", back, "-o", "again.apr", "--name", name, "--force")
        t.equal(tensors_in(t, "again.apr"), tensors_in(t, f"{name}.apr"))
        passes(t, "again.apr", name)


def tensors_in(t, model):
    return t.json("tensors", model)["tensors"]


def test_every_model_is_quantized(t):
    for name in MODELS:
        t.ok("import", folder_of(name), "-o", "m.apr", "--force")
        for scheme in ["int8", "int4", "f16"]:
            t.ok("convert", "m.apr", "--quantize", scheme, "-o", f"{scheme}.apr", "--force")
            t.ok("validate", f"{scheme}.apr")
            report = passes(t, f"{scheme}.apr", name)
            t.equal(report["weights"], {"int8": "q8_0", "int4": "q4_0", "f16": "f16"}[scheme])
        sizes = [t.path(f"{scheme}.apr").stat().st_size for scheme in ["int4", "int8", "f16"]]
        t.equal(sizes, sorted(sizes))
        # What was quantized goes out as float32 and says so.
        t.ok("export", "int8.apr", "--format", "safetensors", "-o", f"{name}-back")
        back = t.path(f"{name}-back")
        t.equal(json.loads((back / "config.json").read_text())["torch_dtype"], "float32")
        t.check("F32" in {kind for kind, _, _ in tensors(back / "model.safetensors").values()}, "no F32")


def hub_bert(t, number, rename=lambda name: name, more=None, config=None, drop=()):
    """tiny-bert with other tensor names, further tensors, other files."""
    folder = faults.copy_model(t.path(f"bert{number}"), folder_of("tiny-bert"))
    path = folder / "model.safetensors"
    write_tensors(path, {**{rename(name): value for name, value in tensors(path).items()}, **(more or {})})
    if config:
        faults.edit_json(folder / "config.json", lambda data: data.update(config))
    for name in drop:
        (folder / name).unlink()
    return folder


def old_spelling(name):
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def test_bert_as_the_hub_has_it(t):
    position_ids = {"embeddings.position_ids": ("I64", [1, 128], struct.pack("<128q", *range(128)))}
    heads = {"cls.predictions.bias": ("F32", [1000], bytes(4000)),
             "cls.predictions.transform.LayerNorm.gamma": ("F32", [128], bytes(512)),
             "cls.seq_relationship.weight": ("F32", [2, 128], bytes(1024))}
    layouts = [
        hub_bert(t, 0, more=position_ids),
        hub_bert(t, 1, lambda name: "bert." + name, {"bert." + n: v for n, v in position_ids.items()}),
        hub_bert(t, 2, old_spelling),
        hub_bert(t, 3, lambda name: "bert." + old_spelling(name), heads, {"architectures": ["BertForPreTraining"]}),
        hub_bert(t, 4, drop=["tokenizer.json", "special_tokens_map.json"]),
    ]
    for number, folder in enumerate(layouts):
        t.ok("validate", folder)
        run = t.ok("import", folder, "-o", "m.apr", "--force")
        if number in (0, 1):
            t.contains(run.out, "1 buffer that the model does not need")
        t.ok("validate", "m.apr")
        passes(t, "m.apr", "tiny-bert")
        passes(t, folder, "tiny-bert")
        t.contains(t.ok("inspect", "m.apr").out, "WordPiece")
    # A checkpoint for filling in words has no pooler; what the trace has of it cannot be compared.
    masked = hub_bert(t, 5, lambda name: "bert." + name, heads, {"architectures": ["BertForMaskedLM"]})
    t.ok("import", masked, "-o", "masked.apr")
    t.ok("validate", "masked.apr")
    t.fails(3, "test-model", "masked.apr", "--golden-trace", trace_of("tiny-bert"), says="pooler_output")
    # What is no head and no buffer is not passed over.
    t.fails(5, "import", hub_bert(t, 6, more={"adapter.weight": ("F32", [2], bytes(8))}), "-o", "x.apr",
            says="adapter.weight")


def test_whisper_as_the_hub_has_it(t):
    folder = faults.copy_model(t.path("whisper"), folder_of("tiny-whisper"))
    path = folder / "model.safetensors"
    found = tensors(path)
    write_tensors(path, {**{name.removeprefix("model."): value for name, value in found.items()},
                         "proj_out.weight": found["model.decoder.embed_tokens.weight"]})
    t.ok("import", folder, "-o", "m.apr")
    t.ok("validate", "m.apr")
    passes(t, "m.apr", "tiny-whisper")
    t.check(t.json("inspect", "m.apr")["parameters"] == 358144, "the tied head is stored twice")


def test_modules_are_kept_and_only_safe_ones(t):
    source = folder_of("tiny-bert")
    t.ok("import", source, "-o", "m.apr")
    t.ok("convert", "m.apr", "--quantize", "int8", "-o", "q.apr")
    for model in ["m.apr", "q.apr"]:
        t.ok("export", model, "-o", "back", "--force")
        for name in ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"]:
            t.equal((t.path("back") / name).read_bytes(), (source / name).read_bytes())
    # Written over itself, but never over what someone keeps there.
    (t.path("back") / "1_Pooling" / "notes.txt").write_text("mine")
    t.fails(5, "export", "m.apr", "-o", "back", "--force", says="1_Pooling/notes.txt")
    t.equal((t.path("back") / "1_Pooling" / "notes.txt").read_text(), "mine")
    (t.path("outside")).mkdir()
    (t.path("outside") / "config.json").write_text('{"secret": true}')
    for number, path in enumerate(["../outside", str(t.path("outside")), "a/b", "..", "1_Pooling\\x"]):
        folder = t.path(f"modules{number}")
        shutil.copytree(source, folder)
        faults.edit_json(folder / "modules.json", lambda data, path=path: data[1].update(path=path))
        t.ok("import", folder, "-o", "x.apr", "--force")
        t.ok("export", "x.apr", "-o", f"kept{number}")
        t.equal(sorted(small_files(t.path(f"kept{number}"))),
                sorted(name for name in small_files(source) if name != "1_Pooling/config.json"))


framework.main(globals())
