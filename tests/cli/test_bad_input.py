"""Broken files of every kind, to every verb that reads one: one sentence, the right exit code, nothing left behind,
never a crash."""
import json
import os
import random
import struct
import zlib

import checkpoints
import framework

READERS = [["inspect"], ["tensors"], ["tensors", "--stats"], ["validate"],
           ["convert", "--quantize", "int4", "-o", "out.apr"], ["export", "-o", "out"]]


def every_reader(t, code, path, says=()):
    before = t.files()
    for words in READERS:
        t.fails(code, words[0], path, *words[1:], says=says)
        t.equal(t.files(), before, f"files after {words[0]}")
    t.fails(2 if path.endswith(".apr") and code == 4 else code, "import", path, "-o", "out.apr")
    t.equal(t.files(), before, "files after import")


def with_crc(data):
    """The header's checksum made to fit, so that the damage behind it is reached."""
    data = bytearray(data)
    crc = zlib.crc32(bytes(data[0:40]) + bytes(data[44:64]))
    struct.pack_into("<I", data, 40, crc)
    return bytes(data)


def test_missing_file(t):
    every_reader(t, 3, "nope.apr", "there is no such file or folder")


def test_name_almost_right(t):
    t.tiny("model.apr")
    t.fails(3, "inspect", "modle.apr", hint="did you mean 'model.apr'?")


def test_dangling_link(t):
    os.symlink("gone.apr", t.path("link.apr"))
    every_reader(t, 3, "link.apr", "is a link that leads nowhere")


def test_folder_without_a_model(t):
    t.path("empty").mkdir()
    every_reader(t, 3, "empty", "no .safetensors file")


def test_device_and_pipe(t):
    os.mkfifo(t.path("pipe"))
    for path in ["/dev/null", "pipe"]:
        every_reader(t, 3, path, "is neither a file nor a folder")


def test_empty_file(t):
    t.path("e").write_bytes(b"")
    every_reader(t, 4, "e", "is empty")


def test_wrong_magic(t):
    for number, content in enumerate([b"hello, I am no model\n" * 10, b"\0" * 100, b"GGUF" + b"\0" * 60, b"APR"]):
        t.path(f"w{number}").write_bytes(content)
        for words in READERS:
            t.fails(9 if content.startswith(b"GGUF") else 4, words[0], f"w{number}", *words[1:])


def test_unknown_apr_version(t):
    data = bytearray(t.tiny().read_bytes())
    data[3:4] = b"9"
    t.path("v9.apr").write_bytes(data)
    t.fails(4, "inspect", "v9.apr")


def test_unreadable_file(t):
    if os.geteuid() == 0:
        raise framework.Skip("root may read everything")
    t.tiny().chmod(0)
    t.fails(7, "inspect", "tiny.apr", says="tiny.apr")


def test_truncated_anywhere(t):
    data = t.tiny().read_bytes()
    header = checkpoints.apr_header(data)
    generator = random.Random(7)
    cuts = [4, 10, 63, 64, 65, header["index_offset"] - 1, header["index_offset"] + 10, header["data_offset"],
            header["data_offset"] + 1, len(data) // 2] + [generator.randrange(4, header["data_offset"]) for _ in range(15)]
    for cut in cuts:
        t.path("cut.apr").write_bytes(data[:cut])
        t.fails(4, "inspect", "cut.apr", says="cut.apr")
        t.fails(4, "validate", "cut.apr", says="cut.apr")
    t.path("cut.apr").write_bytes(data[:len(data) // 2])
    every_reader(t, 4, "cut.apr", "cut.apr")


def test_cut_behind_the_weights_is_noticed_by_validate(t):
    data = t.tiny().read_bytes()
    for missing in [1, 4, 100, 5000]:
        t.path("cut.apr").write_bytes(data[:-missing])
        run = t.run("validate", "--strict", "cut.apr")
        t.check(run.code in (4, 5), "a cut tail passes as valid", run)


def test_any_flipped_bit_is_noticed_by_validate(t):
    data = t.tiny().read_bytes()
    header = checkpoints.apr_header(data)
    generator = random.Random(11)
    places = [generator.randrange(64, header["data_offset"]) for _ in range(10)]
    places += [generator.randrange(header["data_offset"], len(data)) for _ in range(20)]
    places += list(range(0, 64, 5)) + [len(data) - 2]
    for place in places:
        broken = bytearray(data)
        broken[place] ^= 1 << generator.randrange(8)
        t.path("flip.apr").write_bytes(broken)
        run = t.run("validate", "flip.apr", "--strict")
        t.check(run.code in (4, 5, 9), f"bit flipped at {place} of {len(data)} is not noticed", run)
        t.check("terminate" not in run.err, "crash", run)


def test_flips_behind_a_good_header_checksum(t):
    """Hostile rather than damaged: header fields changed and the header's checksum made to fit."""
    data = t.tiny().read_bytes()
    generator = random.Random(13)
    for _ in range(60):
        broken = bytearray(data)
        broken[generator.randrange(8, 40)] = generator.randrange(256)
        t.path("h.apr").write_bytes(with_crc(broken))
        for words in [["inspect"], ["tensors", "--stats"], ["validate"]]:
            run = t.run(words[0], "h.apr", *words[1:])
            t.check(run.code in (0, 4, 5), f"exit code {run.code}", run)


def test_oversized_counts(t):
    data = t.tiny().read_bytes()
    for at, pattern, value in [(8, "<I", 0xFFFFFFFF), (20, "<I", 0xFFFFFFFF), (24, "<Q", 2**64 - 1),
                               (32, "<Q", 2**63), (12, "<Q", 2**64 - 64)]:
        broken = bytearray(data)
        struct.pack_into(pattern, broken, at, value)
        t.path("o.apr").write_bytes(with_crc(broken))
        t.fails(4, "inspect", "o.apr", says="o.apr")


def test_damaged_index_entries(t):
    data = t.tiny().read_bytes()
    at = checkpoints.apr_header(data)["index_offset"]
    generator = random.Random(17)
    for _ in range(60):
        broken = bytearray(data)
        broken[at + generator.randrange(300)] = generator.randrange(256)
        t.path("i.apr").write_bytes(broken)
        run = t.run("tensors", "i.apr")
        t.check(run.code in (0, 4), f"exit code {run.code}", run)
        run = t.run("validate", "i.apr")
        t.check(broken == data or run.code in (4, 5), "a damaged index passes as valid", run)


def test_missing_tensor(t):
    tensors = checkpoints.weights()
    del tensors["model.layers.1.mlp.up_proj.weight"]
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.fails(5, "import", source, "-o", "m.apr", says=["missing", "model.layers.1.mlp.up_proj.weight"])
    report = t.json("validate", source, code=5)
    t.contains(" ".join(report["problems"]), "model.layers.1.mlp.up_proj.weight")
    t.equal(t.files(), ["src"])


def test_stranger(t):
    tensors = checkpoints.weights()
    tensors["model.layers.9.mlp.up_proj.weight"] = ([2, 2], [1, 2, 3, 4])
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.fails(5, "import", source, "-o", "m.apr", says=["no use", "model.layers.9.mlp.up_proj.weight"])
    t.contains(" ".join(t.json("validate", source, code=5)["problems"]), "model.layers.9.mlp.up_proj.weight")


def test_renamed_tensor_names_both(t):
    tensors = checkpoints.weights()
    tensors["model.layers.0.mlp.upp_proj.weight"] = tensors.pop("model.layers.0.mlp.up_proj.weight")
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.fails(5, "import", source, "-o", "m.apr", says=["model.layers.0.mlp.up_proj.weight"],
            hint="model.layers.0.mlp.upp_proj.weight")


def test_wrong_shape(t):
    tensors = checkpoints.weights()
    name = "model.layers.0.mlp.down_proj.weight"
    shape, floats = tensors[name]
    tensors[name] = (list(reversed(shape)), floats)
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.fails(5, "import", source, "-o", "m.apr", says=[name, "[96, 64]", "[64, 96]"])
    t.contains(" ".join(t.json("validate", source, code=5)["problems"]), name)


def test_nan_planted(t):
    tensors = checkpoints.weights()
    name = "model.layers.1.self_attn.o_proj.weight"
    tensors[name][1][100] = float("nan")
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.ok("import", source, "-o", "m.apr")
    report = t.json("validate", "m.apr", code=5)
    t.contains(" ".join(report["problems"]), name, "1 NaN")
    t.fails(5, "convert", "m.apr", "--quantize", "int4", "-o", "q.apr", says=name)
    t.equal(t.files(), ["m.apr", "src"])


def test_infinity_planted(t):
    tensors = checkpoints.weights()
    tensors["model.norm.weight"][1][0] = float("-inf")
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.contains(" ".join(t.json("validate", source, code=5)["problems"]), "model.norm.weight", "1 infinite")


def test_config_that_is_no_json(t):
    source = checkpoints.write_folder(t.path("src"))
    (source / "config.json").write_text('{"model_type": "qwen2",\n  oops}')
    t.fails(4, "import", source, "-o", "m.apr", says=["config.json", "2:"])


def test_config_with_a_key_twice(t):
    source = checkpoints.write_folder(t.path("src"))
    text = json.dumps(checkpoints.CONFIG)
    (source / "config.json").write_text(text[:-1] + ', "hidden_size": 32}')
    t.fails(4, "import", source, "-o", "m.apr", says=["config.json", "hidden_size"])


def test_config_missing(t):
    source = checkpoints.write_folder(t.path("src"))
    (source / "config.json").unlink()
    run = t.run("import", source, "-o", "m.apr")
    t.check(run.code in (3, 4, 6), "exit code", run)
    t.contains(run.err, "config.json")


def test_config_of_an_unknown_kind(t):
    source = checkpoints.write_folder(t.path("src"), config=dict(checkpoints.CONFIG, model_type="mamba",
                                                                 architectures=["MambaForCausalLM"]))
    t.fails(9, "import", source, "-o", "m.apr", says="mamba", hint="qwen2")


def test_config_field_that_is_not_supported(t):
    source = checkpoints.write_folder(t.path("src"), config=dict(checkpoints.CONFIG, hidden_act="relu6"))
    run = t.run("import", source, "-o", "m.apr")
    t.check(run.code in (6, 9), "exit code", run)
    t.contains(run.err, "hidden_act")


def test_config_without_a_needed_field(t):
    config = dict(checkpoints.CONFIG)
    del config["num_hidden_layers"]
    source = checkpoints.write_folder(t.path("src"), config=config)
    run = t.run("import", source, "-o", "m.apr")
    t.check(run.code in (4, 6), "exit code", run)
    t.contains(run.err, "num_hidden_layers")


def test_tokenizer_that_is_broken(t):
    source = checkpoints.write_folder(t.path("src"))
    (source / "tokenizer.json").write_text('{"model": {"type": "BPE"}}')
    run = t.run("import", source, "-o", "m.apr")
    t.check(run.code in (4, 6, 9), "exit code", run)
    t.contains(run.err, "tokenizer.json")
    t.equal(t.files(), ["src"])


def test_template_that_is_broken(t):
    source = checkpoints.write_folder(t.path("src"))
    (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{% for m in messages %}oops"}))
    run = t.run("import", source, "-o", "m.apr")
    t.check(run.code in (4, 6, 9), "exit code", run)
    t.contains(run.err, "chat_template")


def test_safetensors_truncated_and_flipped(t):
    source = checkpoints.write_folder(t.path("src"))
    path = source / "model.safetensors"
    data = path.read_bytes()
    generator = random.Random(3)
    for cut in [1, 7, 8, 9, 500, len(data) - 1]:
        path.write_bytes(data[:cut])
        t.fails(4, "import", source, "-o", "m.apr", says="model.safetensors")
    for _ in range(40):
        broken = bytearray(data)
        broken[generator.randrange(1500)] ^= 1 << generator.randrange(8)
        path.write_bytes(broken)
        run = t.run("import", source, "-o", "m.apr", "--force")
        t.check(run.code in (0, 4, 5, 6, 9), f"exit code {run.code}", run)


def test_pickles_are_refused(t):
    t.path("pytorch_model.bin").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    t.path("model.pkl").write_bytes(b"\x80\x04\x95" + b"\0" * 100)
    for name in ["pytorch_model.bin", "model.pkl"]:
        t.fails(9, "import", name, "-o", "m.apr", says="pickle", hint="safetensors")
    folder = t.path("folder")
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + b"\0" * 100)
    (folder / "config.json").write_text(json.dumps(checkpoints.CONFIG))
    t.fails(9, "import", "folder", "-o", "m.apr", says=["pickle", "folder/pytorch_model.bin"])


framework.main(globals())
