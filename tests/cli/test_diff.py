"""apr diff: what differs, how far, and the exit code by its class."""
import json
import math
import struct

import checkpoints
import framework

WEIGHT = "model.layers.1.mlp.up_proj.weight"


def part(report, name):
    return {p["part"]: p for p in report["parts"]}[name]


def pair(t, change=None, config=None, names=("a", "b")):
    a = checkpoints.write_folder(t.path(names[0]))
    tensors = checkpoints.weights()
    if change:
        change(tensors)
    b = checkpoints.write_folder(t.path(names[1]), tensors, config)
    return a, b


def test_a_model_and_itself(t):
    t.tiny("a.apr")
    t.tiny("b.apr")
    report = t.json("diff", "a.apr", "b.apr")
    t.equal((report["same"], report["class"], report["differences"]), (True, "same", []))
    t.contains(t.ok("diff", "a.apr", "b.apr").out, "nothing differs", "all 50 tensors equal")


def test_a_model_and_its_source_are_the_same(t):
    t.equal(t.json("diff", t.tiny(), framework.BUNDLED)["class"], "same")
    for name in ["tiny-gpt2", "tiny-mistral"]:
        source = framework.shared(f"arch/{name}")
        t.ok("import", source, "-o", f"{name}.apr")
        t.equal(t.json("diff", f"{name}.apr", source)["class"], "same", name)


def test_a_folder_that_came_back(t):
    a = checkpoints.copy_bundled(t.path("a"))
    t.ok("import", a, "-o", "m.apr")
    t.ok("export", "m.apr", "-o", "back")
    t.equal(t.json("diff", a, "back")["same"], True)
    t.equal(t.json("diff", "m.apr", "back")["same"], True)
    t.ok("import", "back", "-o", "again.apr", "--name", "a")
    report = t.json("diff", "m.apr", "again.apr", code=1)
    t.equal([p["part"] for p in report["parts"] if p["class"] != "same"], ["history"])
    t.contains(part(report, "history")["summary"], "1 common step, then nothing and export, import")


def test_one_weight(t):
    def change(tensors):
        tensors[WEIGHT][1][777] += 0.25
    a, b = pair(t, change)
    report = t.json("diff", a, b, code=5)
    t.equal((report["tensors_differ"], report["tensors_compared"]), (1, 26))
    (row,) = [d for d in report["differences"] if d["part"] == "weights"]
    t.equal((row["name"], row["different"], row["at"]), (WEIGHT, 1, [777 // 64, 777 % 64]))
    t.check(abs(row["max_abs"] - 0.25) < 1e-6, row["max_abs"])
    x = checkpoints.weights()[WEIGHT][1]
    rms = 0.25 / math.sqrt(sum(v * v for v in x))
    t.check(abs(row["relative_rms"] / rms - 1) < 1e-5, row["relative_rms"])
    t.contains(t.run("diff", a, b, code=5).out, "weights: 1 of 26 tensors differ", WEIGHT)
    t.json("diff", a, b, "--tolerance", "0.26", "--filter", "*")
    t.json("diff", a, b, "--relative", str(rms * 1.01), "--filter", "*")
    t.equal(t.json("diff", a, b, "--tolerance", "0.26")["class"], "same")
    t.json("diff", a, b, "--tolerance", "0.24", "--relative", str(rms * 0.99), code=5)


def test_quantized_against_its_parent(t):
    t.ok("convert", t.tiny(), "--quantize", "int8", "-o", "q.apr")
    report = t.json("diff", "tiny.apr", "q.apr", code=5)
    t.equal((report["tensors_differ"], report["types_differ"]), (29, 29))
    t.check(0.004 < report["max_relative_rms"] < 0.008, report["max_relative_rms"])
    for name in ["config", "settings", "tokenizer", "template", "files"]:
        t.equal(part(report, name)["class"], "same", name)
    t.equal(part(report, "history")["class"], "description")
    # within the noise of the type only the description differs
    t.equal(t.json("diff", "tiny.apr", "q.apr", "--relative", "0.01", code=1)["class"], "description")
    t.equal(t.json("diff", "tiny.apr", "q.apr", "--relative", "0.004", code=5)["class"], "model")


def test_the_same_numbers_in_another_type(t):
    t.ok("convert", t.tiny(), "--quantize", "f32", "-o", "wide.apr")
    report = t.json("diff", "tiny.apr", "wide.apr", code=1)
    t.equal((report["tensors_differ"], report["types_differ"], report["max_difference"]), (0, 50, 0))
    t.equal({x["status"] for x in report["tensors"]}, {"same numbers in another type"})


def test_missing_tensors_and_other_shapes(t):
    def change(tensors):
        del tensors["model.layers.0.self_attn.q_proj.bias"]
        tensors["extra"] = ([2], [1.0, 2.0])
        tensors["model.norm.weight"] = ([32], [1.0] * 32)
    a, b = pair(t, change)
    report = t.json("diff", a, b, code=5)
    t.equal({d["name"]: d["problem"] for d in report["differences"] if d["part"] == "weights"},
            {"model.layers.0.self_attn.q_proj.bias": "missing in b", "extra": "missing in a",
             "model.norm.weight": "shape"})


def test_config(t):
    config = dict(checkpoints.CONFIG, rope_theta=20000.0)
    a, b = pair(t, config=config)
    report = t.json("diff", a, b, code=5)
    t.equal([d["field"] for d in report["differences"] if d["part"] == "config"], ["rope_theta"])
    t.contains(t.run("diff", a, b, code=5).out, "config: rope_theta is 10000.0 and 20000.0")


def test_config_that_only_describes(t):
    a, b = pair(t, config=dict(checkpoints.CONFIG, transformers_version="9.9"))
    report = t.json("diff", a, b, code=1)
    t.equal(part(report, "config")["class"], "description")


def test_tokenizer(t):
    a, b = pair(t)
    tokenizer = checkpoints.tokenizer_json()
    vocab = tokenizer["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    (b / "tokenizer.json").write_text(json.dumps(tokenizer))
    report = t.json("diff", a, b, code=5)
    t.equal(part(report, "tokenizer")["class"], "model")
    t.contains(part(report, "tokenizer")["summary"], "id 97")
    (b / "tokenizer.json").unlink()
    t.contains(part(t.json("diff", a, b, code=5), "tokenizer")["summary"], "carries a tokenizer")


def test_flags_of_a_special_token(t):
    """Whether a special token swallows the blanks beside it shows where it stands among words only."""
    for flag in ["lstrip", "rstrip", "single_word"]:
        a, b = pair(t, names=(f"a-{flag}", f"b-{flag}"))
        tokenizer = checkpoints.tokenizer_json()
        tokenizer["added_tokens"][0][flag] = True
        (b / "tokenizer.json").write_text(json.dumps(tokenizer))
        t.equal(part(t.json("diff", a, b, code=5), "tokenizer")["class"], "model", flag)


def test_a_tokenizer_written_otherwise_is_the_same(t):
    a, b = pair(t)
    (b / "tokenizer.json").write_text(json.dumps(checkpoints.tokenizer_json(), indent=2))
    report = t.json("diff", a, b, code=1)
    t.equal(part(report, "tokenizer")["class"], "same")
    t.equal(part(report, "files")["summary"], "differ: tokenizer.json")


def test_chat_template(t):
    a, b = pair(t)
    for folder, text in [(a, "{{ messages[0].content }}"), (b, "{{ messages[0].content}}\n")]:
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": text}))
    report = t.json("diff", a, b, code=5)
    t.contains(part(report, "template")["summary"], "line 1, character 23")


def test_not_a_number_is_never_within_a_tolerance(t):
    def change(tensors):
        tensors[WEIGHT][1][5] = float("nan")
    a, b = pair(t, change)
    report = t.json("diff", a, b, "--tolerance", "1e30", code=5)
    t.equal(report["differences"][0]["not_comparable"], 1)


def test_only_some_tensors(t):
    def change(tensors):
        tensors[WEIGHT][1][5] += 1
    a, b = pair(t, change)
    t.equal(t.json("diff", a, b, "--filter", "layers.0.")["class"], "same")
    t.equal(t.json("diff", a, b, "--filter", "*.up_proj.*", code=5)["tensors_compared"], 2)
    t.fails(3, "diff", a, b, "--filter", "nothing", says="'nothing'")


def test_threads_change_nothing(t):
    t.ok("convert", t.tiny(), "--quantize", "int4", "-o", "q.apr")
    one = t.run("diff", "tiny.apr", "q.apr", "--json", "--threads", "1", code=5).out
    t.equal(t.run("diff", "tiny.apr", "q.apr", "--json", "--threads", "5", code=5).out, one)


def traces(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int8", "-o", "q.apr")
    for model, folder in [("tiny.apr", "x"), ("tiny.apr", "y"), ("q.apr", "z")]:
        t.ok("trace", model, "--prompt", "What is 2+2?", "--greedy", "4", "--export", folder)


def test_traces(t):
    traces(t)
    t.equal(t.json("diff", "x", "y")["class"], "same")
    report = t.json("diff", "x", "z/golden.json", code=5)
    t.equal(report["kind"], "traces")
    t.contains(report["summary"], "values: ", "the first is prompt.embed")
    t.check(0 < report["max_relative_rms"] < 0.1, report["max_relative_rms"])
    within = t.run("diff", "x", "z", "--relative", "0.1", "--json").json()
    t.equal((within["values_differ"], within["values_within_tolerance"]), (0, 8))
    t.check({d["field"] for d in within["differences"]} <= {"top10_ids"}, within["differences"])
    t.json("diff", "x", "z", "--tolerance", "1e-4", code=5)
    t.equal(t.json("diff", "x", "z", "--filter", "embed", code=5)["values_compared"], 1)
    t.contains(t.run("diff", "x", "z", code=5).out, "prompt.layer0.out", "prompts")


def test_traces_of_other_prompts(t):
    t.tiny()
    t.ok("trace", "tiny.apr", "--prompt", "What is 2+2?", "--greedy", "4", "--export", "x")
    t.ok("trace", "tiny.apr", "--prompt", "What is 3+2?", "--greedy", "4", "--export", "y")
    report = t.json("diff", "x", "y", code=5)
    t.check({"prompt", "ids"} <= {d.get("field") for d in report["differences"]}, report["differences"])
    t.ok("trace", "tiny.apr", "--prompt", "What is 2+2?", "--name", "else", "--greedy", "4", "--export", "z")
    t.contains(part(t.json("diff", "x", "z", code=5), "prompts")["summary"], "missing in b")


def test_traces_with_audio_and_batches(t):
    for name in ["tiny-whisper", "tiny-bert"]:
        folder = framework.shared(f"arch/{name}/golden")
        if not (folder / "golden.json").exists():
            raise framework.Skip(f"{folder} has no golden.json")
        t.equal(t.json("diff", folder, folder)["class"], "same", name)


def test_errors(t):
    t.tiny()
    t.ok("trace", "tiny.apr", "--prompt", "Hi", "--greedy", "1", "--export", "x")
    t.fails(2, "diff", "tiny.apr", "x", says="'x' is a trace, 'tiny.apr' is not")
    t.fails(2, "diff", "tiny.apr", says="needs")
    t.fails(3, "diff", "tiny.apr", "tony.apr", hint="did you mean 'tiny.apr'?")


framework.main(globals())
