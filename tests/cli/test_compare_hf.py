"""apr compare-hf: a model and the checkpoint it should be."""
import json

import checkpoints
import framework

WEIGHT = "model.layers.0.mlp.up_proj.weight"


def problems(report):
    return [p["problem"] for p in report["problems"]]


def test_what_was_imported(t):
    report = t.json("compare-hf", t.tiny(), framework.BUNDLED)
    t.equal((report["passed"], report["failures"], report["tensors_exact"]), (True, 0, 50))
    t.contains(t.ok("compare-hf", "tiny.apr", "--hf", framework.BUNDLED).out, "all 50 tensors match: the same numbers",
               "the same ids for 25 texts")


def test_other_architectures_and_layouts(t):
    for name in ["tiny-gpt2", "tiny-mistral", "tiny-whisper", "tiny-bert"]:
        source = framework.shared(f"arch/{name}")
        t.ok("import", source, "-o", f"{name}.apr")
        t.equal(t.json("compare-hf", f"{name}.apr", source)["failures"], 0, name)


def test_types_are_allowed_their_rounding(t):
    t.tiny()
    for scheme, rounded in [("f32", 0), ("f16", None), ("int8", 29), ("int4", 29)]:
        t.ok("convert", "tiny.apr", "--quantize", scheme, "-o", "q.apr", "--force")
        report = t.json("compare-hf", "q.apr", framework.BUNDLED)
        t.equal(report["failures"], 0, scheme)
        if rounded is not None:
            t.equal(report["tensors_rounded"], rounded, scheme)
    t.json("compare-hf", "q.apr", framework.BUNDLED, "--tolerance", "1e-5", code=5)


def test_one_weight_in_a_plain_model(t):
    tensors = checkpoints.weights()
    a = checkpoints.write_folder(t.path("a"), tensors)
    tensors[WEIGHT][1][100] += 1e-6
    b = checkpoints.write_folder(t.path("b"), tensors)
    t.ok("import", a, "-o", "m.apr")
    t.json("compare-hf", "m.apr", a)
    report = t.json("compare-hf", "m.apr", b, code=5)
    (problem,) = problems(report)
    t.contains(problem, WEIGHT, "1 of 6,144 numbers differ")
    (row,) = [r for r in report["tensors"] if not r["passed"]]
    t.equal(row["at"], [1, 36])
    t.json("compare-hf", "m.apr", b, "--threshold", "1e-5")


def test_one_weight_in_a_quantized_model(t):
    """Larger than the rounding of its block, far smaller than anything a whole tensor shows."""
    tensors = checkpoints.weights()
    a = checkpoints.write_folder(t.path("a"), tensors)
    tensors[WEIGHT][1][100] += 0.05
    b = checkpoints.write_folder(t.path("b"), tensors)
    t.ok("import", a, "-o", "m.apr")
    for scheme in ["int8", "int4"]:
        t.ok("convert", "m.apr", "--quantize", scheme, "-o", "q.apr", "--force")
        t.json("compare-hf", "q.apr", a)
        (problem,) = problems(t.json("compare-hf", "q.apr", b, code=5))
        t.contains(problem, WEIGHT, "of the largest near it")


def test_config_tokenizer_and_template(t):
    a = checkpoints.write_folder(t.path("a"))
    t.ok("import", a, "-o", "m.apr")
    (a / "config.json").write_text(json.dumps(dict(checkpoints.CONFIG, rope_theta=5.0, transformers_version="1")))
    tokenizer = checkpoints.tokenizer_json()
    tokenizer["added_tokens"][0]["content"] = "<|other|>"
    (a / "tokenizer.json").write_text(json.dumps(tokenizer))
    (a / "tokenizer_config.json").write_text(json.dumps({"chat_template": "x"}))
    report = t.json("compare-hf", "m.apr", a, code=5)
    t.equal([c["name"] for c in report["checks"] if not c["passed"]], ["config", "tokenizer", "template"])
    t.check("rope_theta is 10000.0, in the checkpoint 5.0" in problems(report), problems(report))
    t.lacks(" ".join(problems(report)), "transformers_version")


def test_missing_and_extra_tensors(t):
    tensors = checkpoints.weights()
    a = checkpoints.write_folder(t.path("a"), tensors)
    t.ok("import", a, "-o", "m.apr")
    tensors["extra.weight"] = ([2], [1.0, 2.0])
    del tensors[WEIGHT]
    tensors["model.norm.weight"] = ([1, 64], tensors["model.norm.weight"][1])
    b = checkpoints.write_folder(t.path("b"), tensors)
    t.equal(sorted(problems(t.json("compare-hf", "m.apr", b, code=5))),
            ["extra.weight is missing in the model", f"{WEIGHT} is not in the checkpoint",
             "model.norm.weight is [64], in the checkpoint [1, 64]"])


def test_one_tensor(t):
    t.equal(t.json("compare-hf", t.tiny(), framework.BUNDLED, "--tensor", "model.norm")["tensors_compared"], 1)
    t.fails(3, "compare-hf", "tiny.apr", framework.BUNDLED, "--tensor", "nothing", says="nothing")


def test_the_hub_is_not_read(t):
    t.tiny()
    for name in ["Qwen/Qwen2-0.5B-Instruct", "hf://Qwen/Qwen2-0.5B-Instruct", "https://huggingface.co/Qwen/Qwen2-0.5B"]:
        t.fails(9, "compare-hf", "tiny.apr", "--hf", name, says=name)
    t.fails(9, "compare-hf", "tiny.apr", "--hf", "Qwen/Qwen2-0.5B", hint="huggingface.co/Qwen/Qwen2-0.5B")
    t.fails(3, "compare-hf", "tiny.apr", "./nothing", says="nothing")


framework.main(globals())
