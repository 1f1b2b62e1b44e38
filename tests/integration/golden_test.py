"""apr test-model, trace and tokenize on the trained models, and on models with planted faults."""
import json
import math
import shutil
import struct

import faults
import framework

GOLDEN = framework.BUNDLED / "golden" / "golden.json"


def check(t, model, *words, code=0, trace=GOLDEN):
    return t.json("test-model", model, "--golden-trace", trace, *words, code=code)


def nodes(report):
    return [node for prompt in report["prompts"] for node in prompt["nodes"]]


def import_folder(t, folder, name):
    t.ok("import", folder, "-o", name)
    return name


def test_the_bundled_model_computes_what_its_reference_says(t):
    t.tiny()
    for mode in ["exact", "deterministic", "fast"]:
        report = check(t, "tiny.apr", "--mode", mode)
        t.check(report["passed"], f"{mode}: not passed")
        t.equal(report["nodes"], 32)
        t.equal(report["failures"], 0)
        t.equal(report["first_divergence"], None)
        for prompt in report["prompts"]:
            t.equal(prompt["tokenizer"], {"checked": True, "passed": True})
            t.equal(prompt["greedy"]["equal"], prompt["greedy"]["compared"])
    t.contains(t.ok("test-model", "tiny.apr", "--golden-trace", GOLDEN).out, "32 values", "agree with the reference")


def test_the_folder_passes_as_well_as_the_apr_file(t):
    t.check(check(t, framework.BUNDLED)["passed"], "not passed")


def test_the_reference_backend_passes_too(t):
    t.tiny()
    report = check(t, "tiny.apr", "--backend", "reference")
    t.check(report["passed"], "not passed")
    t.contains(report["backend"], "reference")


def test_stories260k_computes_what_its_reference_says(t):
    folder = framework.shared("stories260K")
    import_folder(t, folder, "stories.apr")
    report = check(t, "stories.apr", trace=folder / "golden" / "golden.json")
    t.check(report["passed"], "not passed")
    t.equal(report["nodes"], 27)
    for prompt in report["prompts"]:
        t.equal(prompt["greedy"]["equal"], 64)


def test_quantized_models_are_held_to_the_noise_of_their_type(t):
    t.tiny()
    for scheme, weights, limit in [("int8", "q8_0", 0.03), ("int4", "q4_0", 0.4)]:
        t.ok("convert", "tiny.apr", "--quantize", scheme, "-o", f"{scheme}.apr")
        report = check(t, f"{scheme}.apr")
        t.check(report["passed"] and report["type_aware"], f"{scheme} did not pass")
        t.equal(report["weights"], weights)
        t.check(report["max_relative_rms"] > 0, "no noise at all")
        for node in nodes(report):
            t.check(limit / 2 <= node["tolerance"] <= limit, node)
        # Held to float32 rounding they fail.
        strict = check(t, f"{scheme}.apr", "--tolerance", "1e-4", code=5)
        t.equal(strict["first_divergence"]["node"], "embed")


def test_one_changed_weight_is_found_and_its_layer_named(t):
    folder = faults.copy_model(t.path("model"))
    checkpoint = faults.Checkpoint(folder / "model.safetensors")
    name = "model.layers.2.mlp.down_proj.weight"
    checkpoint.put(name, 1000, checkpoint.get(name, 1000) + 0.5)
    checkpoint.save()
    import_folder(t, folder, "changed.apr")
    report = check(t, "changed.apr", code=5)
    t.equal(report["passed"], False)
    t.equal(report["first_divergence"]["node"], "layer2.out")
    first = report["first_divergence"]
    t.check(first["difference"] > first["tolerance"] > 0, "figures are missing")
    t.equal(len(first["at"]), 2)
    text = t.run("test-model", "changed.apr", "--golden-trace", GOLDEN, code=5).out
    t.contains(text, "differs from the reference first at", "layer2.out", "allowed")


def test_a_wrong_rope_base_is_found_and_depends_on_the_position(t):
    folder = faults.copy_model(t.path("model"))
    faults.edit_json(folder / "config.json", lambda config: config.update(rope_theta=10000.0))
    import_folder(t, folder, "rope.apr")
    report = check(t, "rope.apr", code=5)
    t.equal(report["first_divergence"]["node"], "layer0.attn_probs")
    t.contains(report["first_divergence"]["remark"], "depends on the position")
    one = report["prompts"][0]  # a single token is at position 0, which no rotary embedding turns
    t.check(all(node["passed"] for node in one["nodes"]), "position 0 must not differ")


def test_a_scaled_weight_reads_as_a_factor(t):
    folder = faults.copy_model(t.path("model"))
    checkpoint = faults.Checkpoint(folder / "model.safetensors")
    for i in range(256):
        checkpoint.put("model.norm.weight", i, 2 * checkpoint.get("model.norm.weight", i))
    checkpoint.save()
    report = check(t, folder, code=5)
    t.equal(report["first_divergence"]["node"], "final_norm")
    t.contains(report["first_divergence"]["remark"], "the reference times ")


def test_swapped_nibbles_in_one_layer_are_found(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "int4.apr")
    check(t, "int4.apr")
    faults.change_apr_tensor(t.path("int4.apr"), "model.layers.1.mlp.up_proj.weight", faults.swap_nibbles)
    report = check(t, "int4.apr", code=5)
    t.equal(report["first_divergence"]["node"], "layer1.out")


def test_not_a_number_never_passes(t):
    t.tiny()
    nan = struct.pack("<H", 0x7FC0)
    faults.change_apr_tensor(t.path("tiny.apr"), "model.layers.3.input_layernorm.weight",
                             lambda data: nan + data[2:])
    for words in [[], ["--tolerance", "1e30"], ["--mode", "fast"]]:
        report = check(t, "tiny.apr", *words, code=5)
        t.equal(report["first_divergence"]["node"], "layer3.out")
        t.contains(report["first_divergence"]["remark"], "not numbers")
    t.fails(8, "eval", "tiny.apr", "--dataset", framework.BUNDLED / "golden" / "eval.txt", "--limit", "1",
            says="not a number")


def test_another_tokenizer_is_found(t):
    folder = faults.copy_model(t.path("model"))
    faults.edit_json(folder / "tokenizer.json", lambda data: data["model"]["merges"].pop(5))
    report = check(t, folder, code=5)
    t.equal(report["first_divergence"]["node"], "tokenizer")
    t.contains(report["first_divergence"]["remark"], "the reference has id")
    t.check(check(t, folder, "--ids-from-trace")["passed"], "the weights are the reference's")


def copied_trace(t, change):
    shutil.copyfile(GOLDEN.with_name("golden.safetensors"), t.path("golden.safetensors"))
    data = json.loads(GOLDEN.read_text())
    change(data)
    t.path("golden.json").write_text(json.dumps(data))
    return t.path("golden.json")


def test_other_best_ids_and_other_greedy_tokens_fail(t):
    t.tiny()

    def swap_best(data):
        ids = data["prompts"][0]["top10_ids"]
        ids[8], ids[9] = ids[9], ids[8]

    report = check(t, "tiny.apr", trace=copied_trace(t, swap_best), code=5)
    t.equal(report["first_divergence"]["node"], "best next tokens")

    def other_token(data):
        data["prompts"][1]["greedy_ids"][31] += 1

    report = check(t, "tiny.apr", trace=copied_trace(t, other_token), code=5)
    t.equal(report["first_divergence"]["node"], "greedy tokens")
    t.contains(report["first_divergence"]["remark"], "31 of 32")


def test_a_changed_trace_is_refused(t):
    t.tiny()
    trace = copied_trace(t, lambda data: None)
    check(t, "tiny.apr", trace=trace)
    data = bytearray(t.path("golden.safetensors").read_bytes())
    data[-1] ^= 1
    t.path("golden.safetensors").write_bytes(data)
    t.fails(4, "test-model", "tiny.apr", "--golden-trace", trace, says="SHA-256")
    broken = [
        (lambda d: d.update(format=2), "format"), (lambda d: d.update(prompts=[]), "prompts"),
        (lambda d: d["prompts"][0].pop("ids"), "prompts[0].ids"),
        (lambda d: d["prompts"][0].update(ids=[-1]), "prompts[0].ids"),
        (lambda d: d["prompts"][1].update(name="one"), "prompts"),
        (lambda d: d["prompts"][0]["tensors"].append("one.layer9.out"), "one.layer9.out"),
        (lambda d: d["prompts"][0].update(greedy_stop_index=32), "greedy_stop_index"),
        (lambda d: d.update(tensor_file="../golden.safetensors"), "tensor_file"),
    ]
    for change, says in broken:
        t.fails(4, "test-model", "tiny.apr", "--golden-trace", copied_trace(t, change), says=says)
    t.fails(3, "test-model", "tiny.apr", "--golden-trace", "nowhere.json")
    t.path("golden.json").write_text("{")
    t.fails(4, "test-model", "tiny.apr", "--golden-trace", "golden.json")


def test_a_trace_of_another_model_is_refused(t):
    folder = framework.shared("stories260K")
    import_folder(t, folder, "stories.apr")
    run = t.run("test-model", "stories.apr", "--golden-trace", GOLDEN)
    t.check(run.code in (5, 8), f"exit code {run.code}", run)


def test_an_exported_trace_is_a_golden_trace(t):
    t.tiny()
    prompt = "What is 2+2? Answer:"
    report = t.json("trace", "tiny.apr", "--prompt", prompt, "--backend", "reference", "--export", "mine",
                    "--name", "arith")
    t.equal(t.files(), ["mine", "tiny.apr"])
    t.check(check(t, "tiny.apr", trace="mine/golden.json")["passed"], "the model fails its own trace")
    mine = json.loads(t.path("mine/golden.json").read_text())
    theirs = json.loads(GOLDEN.read_text())["prompts"][1]
    for key in ["prompt", "ids", "n_tokens", "top10_ids", "greedy_ids", "greedy_stop_index"]:
        t.equal(mine["prompts"][0][key], theirs[key], key)
    for ours, other in zip(mine["prompts"][0]["top10_logits"], theirs["top10_logits"]):
        t.check(math.isclose(ours, other, abs_tol=2e-4), f"{ours} is not {other}")
    t.equal([v["node"] for v in report["values"]],
            ["embed", "layer0.attn_probs", "layer0.out", "layer1.out", "layer2.out", "layer3.out",
             "final_norm", "logits_all"])
    t.equal(mine["tensors"]["arith.layer0.attn_probs"]["shape"], [4, 9, 9])
    # A different model fails it.
    t.ok("convert", "tiny.apr", "--quantize", "int8", "-o", "int8.apr")
    check(t, "int8.apr", "--tolerance", "1e-4", trace="mine/golden.json", code=5)
    t.fails(5, "trace", "tiny.apr", "--prompt", prompt, "--export", "mine", says="mine")
    t.ok("trace", "tiny.apr", "--prompt", prompt, "--export", "mine", "--force")


def test_trace_shows_what_was_asked_for(t):
    t.tiny()
    every = t.json("trace", "tiny.apr", "--prompt", "Hello", "--nodes", "*", "--greedy", "0")
    t.check(len(every["values"]) > 40, f"only {len(every['values'])} values")
    t.equal(every["greedy_ids"], [])
    layer = t.json("trace", "tiny.apr", "--prompt", "Hello", "--nodes", "layer1.*")
    t.check(all(v["node"].startswith("layer1.") or v["node"] == "logits_all" for v in layer["values"]), layer)
    by_ids = t.json("trace", "tiny.apr", "--ids", "893")
    by_text = t.json("trace", "tiny.apr", "--prompt", "Hello")
    t.equal(by_ids["values"], by_text["values"])
    special = t.json("trace", "tiny.apr", "--prompt", "<|im_end|>", "--parse-special")
    t.equal(special["ids"], [2047])
    t.check(len(t.json("trace", "tiny.apr", "--prompt", "<|im_end|>")["ids"]) > 1, "it was parsed")
    t.contains(t.ok("trace", "tiny.apr", "--prompt", "Hello", "--limit", "2").out, "embed", "8 values")
    t.fails(3, "trace", "tiny.apr", "--prompt", "Hello", "--nodes", "nothing", says="nothing")
    t.fails(2, "trace", "tiny.apr", says="--prompt")
    t.fails(2, "trace", "tiny.apr", "--prompt", "x", "--ids", "1")
    t.fails(2, "trace", "tiny.apr", "--ids", "1,x", says="'x'")
    t.fails(2, "trace", "tiny.apr", "--ids", "2048", says="2048")
    t.fails(2, "trace", "tiny.apr", "--prompt", "", says="no tokens")
    t.fails(2, "trace", "tiny.apr", "--prompt", "word " * 2000, says="positions")


def test_tokenize(t):
    t.tiny()
    strings = json.loads((framework.BUNDLED / "golden" / "tokenizer_golden.json").read_text())["strings"]
    for entry in strings[:40:4]:
        found = t.json("tokenize", "tiny.apr", "-", stdin=entry["text"])
        t.equal(found["ids"], entry["ids_no_special"], repr(entry["text"]))
        found = t.json("tokenize", framework.BUNDLED, "-", "--parse-special", stdin=entry["text"])
        t.equal(found["ids"], entry["ids"], repr(entry["text"]))
    t.equal(t.json("tokenize", "tiny.apr", "Hello")["tokens"], ["Hello"])
    t.contains("".join(t.json("tokenize", "tiny.apr", "\U0001F600")["tokens"]), "<0x")
    t.contains(t.ok("tokenize", "tiny.apr", "Hello world").out, "893", '"Hello"', "4 tokens")
    t.fails(2, "tokenize", "tiny.apr")


framework.main(globals())
