import json
import struct

import checkpoints
import framework


def f16(bits):
    return struct.unpack("<e", struct.pack("<H", bits))[0]


def test_int4_is_q4_0_and_says_so(t):
    t.tiny()
    report = t.json("convert", "tiny.apr", "--quantize", "int4", "-o", "small.apr")
    t.equal(report["quantization"]["scheme"], "int4")
    t.equal(report["quantization"]["type"], "q4_0")
    t.equal(report["quantization"]["bits_per_weight"], 4.5)
    t.check(report["ratio"] > 3.4, f"only {report['ratio']} times smaller")
    types = {x["type"]: x for x in report["types"]}
    t.equal(sorted(types), ["bf16", "q4_0"])
    text = t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "again.apr").out
    t.contains(text, "int4 → q4_0")


def test_int8_is_q8_0(t):
    t.tiny()
    t.equal(t.json("convert", "tiny.apr", "--quantize", "int8", "-o", "s.apr")["quantization"]["type"], "q8_0")


def test_norms_and_biases_keep_their_type(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "s.apr")
    for tensor in t.json("tensors", "s.apr")["tensors"]:
        kept = "norm" in tensor["name"] or tensor["name"].endswith("bias")
        t.equal(tensor["type"], "bf16" if kept else "q4_0", tensor["name"])


def test_blocks_are_close_to_the_weights(t):
    """Q8_0 read here, by hand: every weight within half a step, the step being the block's largest over 127
    (and a little more, because the step is stored in half precision)."""
    source = checkpoints.write_folder(t.path("src"))
    t.ok("import", source, "-o", "m.apr")
    t.ok("convert", "m.apr", "--quantize", "q8_0", "-o", "q.apr")
    data = t.path("q.apr").read_bytes()
    index = checkpoints.apr_index(data)
    checked = 0
    for name, (shape, floats) in checkpoints.weights().items():
        dtype, found, offset, size = index[name]
        t.equal(found, shape, name)
        if dtype != 8:
            continue
        t.equal(size, len(floats) // 32 * 34, name)
        for block in range(len(floats) // 32):
            at = offset + block * 34
            scale = f16(*struct.unpack_from("<H", data, at))
            quants = struct.unpack_from("<32b", data, at + 2)
            for want, q in zip(struct.unpack("<32f", struct.pack("<32f", *floats[block * 32:block * 32 + 32])), quants):
                t.check(abs(want - scale * q) <= scale * 0.57 + 1e-9, f"{name}: {want} became {scale * q}")
                checked += 1
    t.check(checked > 50000, f"only {checked} weights were blocks")


def test_thread_count_does_not_matter(t):
    t.tiny()
    for threads in ["1", "2", "7"]:
        t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", f"{threads}.apr", "--threads", threads)
    one = t.path("1.apr").read_bytes()
    for threads in ["2", "7"]:
        t.check(t.path(f"{threads}.apr").read_bytes() == one, f"{threads} threads give other bytes")


def test_quantize_is_convert(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "q4_0", "-o", "a.apr")
    t.ok("quantize", "tiny.apr", "--type", "q4_0", "--output", "b.apr")
    t.ok("quantize", "tiny.apr", "--scheme", "q4_0", "-o", "c.apr")
    t.ok("quantize", "tiny.apr", "-s", "q4_0", "-o", "d.apr")
    a = t.path("a.apr").read_bytes()
    t.check(all(t.path(f"{x}.apr").read_bytes() == a for x in "bcd"), "the files differ")


def test_float_types(t):
    t.tiny()
    for scheme in ["f16", "bf16", "f32"]:
        t.ok("convert", "tiny.apr", "--quantize", scheme, "-o", f"{scheme}.apr")
        t.check(scheme in {x["type"] for x in t.json("inspect", f"{scheme}.apr")["types"]}, scheme)
        t.ok("validate", f"{scheme}.apr")


def test_half_precision_by_its_other_name(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "f16", "-o", "a.apr")
    t.ok("convert", "tiny.apr", "--quantize", "fp16", "-o", "b.apr")
    t.equal({p["part"]: p["class"] for p in t.json("diff", "a.apr", "b.apr", code=1)["parts"]}["weights"], "same")


def test_bf16_to_f32_and_back_is_the_same(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "f32", "-o", "wide.apr")
    stats = {x["name"]: x["stats"] for x in t.json("tensors", "tiny.apr", "--stats")["tensors"]}
    for tensor in t.json("tensors", "wide.apr", "--stats")["tensors"]:
        t.equal(tensor["type"], "f32", tensor["name"])
        t.equal(tensor["stats"], stats[tensor["name"]], tensor["name"])


def test_quantized_back_to_floats(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int8", "-o", "q.apr")
    t.ok("convert", "q.apr", "--quantize", "f32", "-o", "f.apr")
    t.ok("validate", "f.apr")
    t.equal(t.json("inspect", "f.apr")["quantization"], None)


def test_quantized_is_not_quantized_again(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "q.apr")
    t.fails(5, "convert", "q.apr", "--quantize", "int8", "-o", "r.apr", says=["already quantized", "q4_0", "q8_0"])
    t.equal(t.files(), ["q.apr", "tiny.apr"])


def test_unknown_scheme(t):
    t.tiny()
    t.fails(3, "convert", "tiny.apr", "--quantize", "int44", "-o", "q.apr", says="'int44'", hint="did you mean 'int4'?")
    t.equal(t.files(), ["tiny.apr"])


def test_lineage_grows_by_one_and_names_the_parent(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "q.apr")
    parent = t.json("inspect", "tiny.apr")
    first, second = t.json("inspect", "q.apr")["lineage"]
    t.equal(first, parent["lineage"][0], "the parent's record")
    t.equal(second["stage"], "convert")
    t.equal(second["parameters"], {"quantize": "int4"})
    t.contains(second["plugin"], "quantizer_block")
    t.equal([x["sha256"] for x in second["inputs"]], [parent["content_root"]])


def test_file_name_leaves_no_trace(t):
    t.tiny("one.apr"), t.tiny("two.apr")
    t.ok("convert", "one.apr", "--quantize", "int4", "-o", "a.apr")
    t.ok("convert", "two.apr", "--quantize", "int4", "-o", "b.apr")
    t.check(t.path("a.apr").read_bytes() == t.path("b.apr").read_bytes(), "the files differ")


def test_metadata_says_how(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "q.apr")
    data = t.path("q.apr").read_bytes()
    header = checkpoints.apr_header(data)
    metadata = json.loads(data[header["metadata_offset"]:header["metadata_offset"] + header["metadata_size"]])
    t.equal(metadata["quantization"], {"quant_type": "q4_0", "bits": 4, "block_size": 32, "symmetric": True})
    t.equal(metadata["tensor_types"]["model.embed_tokens.weight"], "q4_0")


def test_tokenizer_and_template_come_along(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "q.apr")
    report = t.json("inspect", "q.apr")
    t.check(report["chat_template"], "the chat template is gone")
    t.contains(report["tokenizer"], "BPE")


def test_refuses_to_overwrite_itself_and_others(t):
    t.tiny()
    t.fails(5, "convert", "tiny.apr", "--quantize", "int4", "-o", "tiny.apr", hint="--force")
    t.fails(5, "quantize", "tiny.apr", "-s", "int4", "-o", "tiny.apr", hint="--force")
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "tiny.apr", "--force")
    t.ok("validate", "tiny.apr")


def test_a_folder_is_imported_on_the_way(t):
    t.ok("convert", framework.BUNDLED, "--quantize", "int4", "-o", "q.apr")
    t.ok("validate", "q.apr")
    t.equal([r["stage"] for r in t.json("inspect", "q.apr")["lineage"]], ["import", "convert"])


def test_value_too_large_for_the_type(t):
    tensors = checkpoints.weights()
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name][1][70] = 1e6
    source = checkpoints.write_folder(t.path("src"), tensors)
    t.ok("import", source, "-o", "m.apr")
    t.fails(5, "convert", "m.apr", "--quantize", "f16", "-o", "h.apr", says=[name, "row 1, column 6"])
    t.equal(t.files(), ["m.apr", "src"])


def test_more_threads_than_processors_is_no_remark(t):
    t.tiny()
    run = t.ok("convert", "tiny.apr", "--quantize", "int8", "-o", "out.apr", "--threads", "64", "--quiet")
    t.equal(run.err, "", "standard error")


framework.main(globals())
