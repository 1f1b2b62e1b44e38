"""Damage and oddities that must not travel on: into another file, or past the checks of import and validate."""
import json
import struct

import checkpoints
import framework

WEIGHT = "model.layers.0.mlp.up_proj.weight"


def flipped(t, where):
    """The tiny model with one bit changed."""
    data = bytearray(t.tiny().read_bytes())
    data[where(bytes(data))] ^= 4
    t.path("tiny.apr").write_bytes(data)


def in_weight(data):
    _, _, offset, size = checkpoints.apr_index(data)[WEIGHT]
    return offset + size // 2


def test_damaged_weights_are_not_copied(t):
    flipped(t, in_weight)
    t.ok("inspect", "tiny.apr")
    for words in [["convert", "--quantize", "int8", "-o", "out.apr"], ["convert", "--quantize", "f32", "-o", "out.apr"],
                  ["quantize", "-s", "int4", "-o", "out.apr"], ["export", "-o", "out"]]:
        t.fails(4, words[0], "tiny.apr", *words[1:], says=["tiny.apr", WEIGHT], hint="apr validate")
        t.equal(t.files(), ["tiny.apr"], "files")


def test_a_damaged_tail_is_not_copied(t):
    flipped(t, lambda data: len(data) - 300)
    t.fails(4, "convert", "tiny.apr", "--quantize", "int8", "-o", "out.apr", says="tiny.apr")
    with open(t.tiny(), "ab") as file:
        file.write(b"junk behind the end")
    t.fails(4, "export", "tiny.apr", "-o", "out", says="tiny.apr")
    t.equal(t.files(), ["tiny.apr"], "files")


def test_weights_of_whole_numbers(t):
    source = checkpoints.write_folder(t.path("src"))
    path = source / "model.safetensors"
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header[WEIGHT]["dtype"] = "I32"
    text = json.dumps(header).encode().ljust(size)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])
    t.fails(5, "import", source, "-o", "m.apr", says=["whole numbers", WEIGHT, "i32"], hint="F16")
    t.contains(" ".join(t.json("validate", source, code=5)["problems"]), WEIGHT, "i32")
    t.equal(t.files(), ["src"], "files")


def test_settings_that_are_no_json(t):
    source = checkpoints.write_folder(t.path("src"))
    (source / "generation_config.json").write_text('{"eos_token_id": 256,}')
    t.fails(4, "import", source, "-o", "m.apr", says="src: generation_config.json:1:22")
    t.contains(" ".join(t.json("validate", source, code=5)["problems"]), "generation_config.json")
    (source / "generation_config.json").write_text("{}")
    t.ok("import", source, "-o", "m.apr")


def test_tokenizer_settings_that_are_no_json(t):
    source = checkpoints.write_folder(t.path("src"))
    (source / "tokenizer_config.json").write_text("{'a': 1}")
    t.fails(4, "import", source, "-o", "m.apr", says="src: tokenizer_config.json:1:2")


def test_empty_files_are_called_empty(t):
    source = checkpoints.write_folder(t.path("src"))
    (source / "tokenizer.json").write_text("")
    t.fails(4, "import", source, "-o", "m.apr", says="src: tokenizer.json: is empty")
    (source / "config.json").write_text(" \n")
    t.fails(4, "import", source, "-o", "m.apr", says="config.json: holds nothing but blanks")
    t.tiny()
    t.path("empty.txt").write_text("")
    t.fails(5, "eval", "tiny.apr", "--dataset", "empty.txt", says=["empty.txt", "0 tokens"])


def test_empty_template_is_none(t):
    source = checkpoints.write_folder(t.path("src"))
    for template in ["", None, 5]:
        (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
        t.ok("import", source, "-o", "m.apr", "--force")
        t.ok("validate", "m.apr")
        t.equal(t.json("inspect", "m.apr")["chat_template"], False)


def test_pointer_instead_of_weights(t):
    source = checkpoints.write_folder(t.path("src"))
    (source / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    t.fails(4, "import", source, "-o", "m.apr", says="Git LFS pointer", hint="git lfs pull")


def test_rope_fields_that_contradict_each_other(t):
    for fields, name in [({"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}, "rope_theta"),
                         ({"rope_parameters": {"rope_type": "linear", "factor": 2.0},
                           "rope_scaling": {"rope_type": "linear", "factor": 4.0}}, "rope_scaling")]:
        source = checkpoints.write_folder(t.path("src" + name), config=dict(checkpoints.CONFIG, **fields))
        t.fails(4, "import", source, "-o", "m.apr", says=[name, "contradicts"])
    same = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    t.ok("import", checkpoints.write_folder(t.path("same"), config=dict(checkpoints.CONFIG, **same)), "-o", "m.apr")


def test_nothing_converted_is_said(t):
    config = dict(checkpoints.CONFIG)
    t.ok("import", checkpoints.write_folder(t.path("src"), config=config), "-o", "m.apr", "--quantize", "int8")
    run = t.ok("convert", "m.apr", "--quantize", "int8", "-o", "again.apr")
    t.contains(run.err, "no tensor was converted")
    t.lacks(t.ok("convert", "m.apr", "--quantize", "f16", "-o", "f16.apr").err, "no tensor was converted")


framework.main(globals())
