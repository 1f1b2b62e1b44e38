import struct

import checkpoints
import framework


def statuses(report):
    return {c["name"]: c["status"] for c in report["checks"]}


def test_bundled_model_passes(t):
    t.tiny()
    report = t.json("validate", "tiny.apr")
    t.equal(report["passed"], True)
    t.equal(report["problems"], [])
    t.equal(set(statuses(report).values()), {"pass"})
    for name in ["readable", "integrity", "digests", "architecture", "tensors", "shapes", "types", "values",
                 "tokenizer", "chat template"]:
        t.check(name in statuses(report), f"there is no check {name}")


def test_output_for_people(t):
    t.tiny()
    text = t.ok("validate", "tiny.apr", "--quality").out
    t.contains(text, "✓ values", "Quality: ", "/100", "VALID")


def test_quantized_models_pass(t):
    t.tiny()
    for scheme in ["int8", "int4"]:
        t.ok("convert", "tiny.apr", "--quantize", scheme, "-o", f"{scheme}.apr")
        t.equal(t.json("validate", f"{scheme}.apr")["passed"], True, scheme)


def test_one_changed_weight_fails(t):
    data = bytearray(t.tiny().read_bytes())
    _, _, offset, _ = checkpoints.apr_index(data)["model.layers.2.mlp.up_proj.weight"]
    data[offset + 1000] ^= 1
    t.path("x.apr").write_bytes(data)
    report = t.json("validate", "x.apr", code=5)
    t.contains(" ".join(report["problems"]), "model.layers.2.mlp.up_proj.weight")


def test_padding_must_be_zero(t):
    data = bytearray(t.tiny().read_bytes())
    header = checkpoints.apr_header(data)
    end = header["metadata_offset"] + header["metadata_size"]
    t.check(end % 64 != 0, "there is no padding to damage")
    data[end] = 1
    t.path("x.apr").write_bytes(data)
    run = t.run("validate", "x.apr")
    t.check(run.code in (4, 5), "padding that is not zero passes", run)


def test_failure_reads_well(t):
    data = bytearray(t.tiny().read_bytes())
    _, _, offset, _ = checkpoints.apr_index(data)["model.norm.weight"]
    struct.pack_into("<H", data, offset, 0x7FC0)
    t.path("x.apr").write_bytes(data)
    text = t.run("validate", "x.apr", code=5).out
    t.contains(text, "✗ values", "model.norm.weight", "Not valid")


def test_strict_turns_warnings_into_failures(t):
    source = checkpoints.write_folder(t.path("src"), tokenizer=False)
    t.ok("import", source, "-o", "m.apr", "--allow-no-tokenizer")
    t.equal(t.json("validate", "m.apr")["warnings"], 1)
    t.equal(t.json("validate", "m.apr", "--strict", code=5)["passed"], False)


def test_min_score(t):
    t.tiny()
    score = t.json("validate", "tiny.apr", "--quality")["score"]
    t.check(90 <= score <= 100, f"score {score}")
    t.equal(t.json("validate", "tiny.apr", "--min-score", score)["passed"], True)
    if score < 100:
        t.equal(t.json("validate", "tiny.apr", "--min-score", score + 1, code=5)["passed"], False)


def lost(t, tensors=None, change=None, **options):
    """Rules that take points off a model with this change."""
    tensors = tensors or checkpoints.weights()
    if change:
        change(tensors)
    source = checkpoints.write_folder(t.path("src"), tensors, **options)
    run = t.run("validate", source, "--quality", "--json")
    return {x["rule"]: x for x in run.json()["lost"]}


def test_a_plain_model_loses_nothing_on_its_numbers(t):
    rules = lost(t)
    t.equal(sorted(rules), ["no-chat-template", "no-license"])


def test_rule_constant_tensor(t):
    def change(tensors):
        tensors["model.layers.0.mlp.up_proj.weight"][1][:] = [0.25] * (96 * 64)
    rules = lost(t, change=change)
    t.contains(rules["constant-tensor"]["reason"], "model.layers.0.mlp.up_proj.weight", "0.25")


def test_rule_zero_share_of_an_embedding(t):
    def change(tensors):
        floats = tensors["model.embed_tokens.weight"][1]
        for i in range(len(floats)):
            if i % 5 < 3:
                floats[i] = 0.0
    t.contains(lost(t, change=change)["zero-share"]["reason"], "model.embed_tokens.weight", "60.0 %")


def test_rule_zero_rows(t):
    def change(tensors):
        tensors["model.layers.0.mlp.down_proj.weight"][1][:96 * 10] = [0.0] * (96 * 10)
    t.contains(lost(t, change=change)["zero-rows"]["reason"], "10 of 64 rows")


def test_rule_mean_drift(t):
    def change(tensors):
        floats = tensors["model.layers.0.mlp.down_proj.weight"][1]
        floats[:] = [x + 1 for x in floats]
    t.check("mean-drift" in lost(t, change=change), "no points lost for a mean of 1")


def test_rule_large_spread_and_half_overflow(t):
    def change(tensors):
        floats = tensors["model.layers.0.mlp.down_proj.weight"][1]
        floats[:] = [x * 1e6 for x in floats]
    rules = lost(t, change=change)
    t.check("large-spread" in rules and "half-overflow" in rules, str(rules))


def test_rule_vanishing_tensor(t):
    def change(tensors):
        floats = tensors["model.layers.0.mlp.down_proj.weight"][1]
        floats[:] = [x * 1e-9 for x in floats]
    t.check("vanishing-tensor" in lost(t, change=change), "no points lost")


def test_rule_non_finite(t):
    def change(tensors):
        tensors["model.norm.weight"][1][0] = float("nan")
    t.equal(lost(t, change=change)["non-finite"]["points"], 40)


def test_rule_no_tokenizer(t):
    t.check("no-tokenizer" in lost(t, tokenizer=False), "no points lost")


def test_file_without_a_trust_section(t):
    path = framework.shared("apr-fixtures/reconstructed_golden_v2_current.apr")
    report = t.json("validate", path, "--quality", code=5)
    t.equal(statuses(report)["digests"], "warn")
    t.check({"no-trust-section", "no-lineage"} <= {x["rule"] for x in report["lost"]}, "points are missing")


framework.main(globals())
