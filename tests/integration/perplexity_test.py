"""apr eval against the reference implementation's figures."""
import json
import math

import faults
import framework

EVAL = framework.BUNDLED / "golden" / "eval.txt"
REFERENCE = json.loads((framework.BUNDLED / "golden" / "golden.json").read_text())["perplexity"]


def test_perplexity_is_the_references(t):
    t.tiny()
    report = t.json("eval", "tiny.apr", "--dataset", EVAL, "--window", REFERENCE["window"])
    t.check(math.isclose(report["perplexity"], REFERENCE["ppl"], rel_tol=1e-5), report["perplexity"])
    t.equal(report["tokens"], REFERENCE["tokens_total"])
    t.equal(report["tokens_predicted"], REFERENCE["tokens_predicted"])
    t.equal(len(report["windows"]), REFERENCE["windows"])
    for found, wanted in zip(report["windows"], REFERENCE["per_window_[count,nll]"]):
        t.equal(found[0], wanted[0])
        t.check(math.isclose(found[1], wanted[1], abs_tol=2e-3), f"{found} is not {wanted}")
    t.check(math.isclose(math.exp(report["nll"] / report["tokens_predicted"]), report["perplexity"]), "sum")


def test_the_number_of_threads_changes_nothing(t):
    t.tiny()
    one, two = (t.json("eval", "tiny.apr", "--dataset", EVAL, "--limit", "4", "--threads", n) for n in "12")
    t.equal(one["windows"], two["windows"])
    t.equal(len(one["windows"]), 4)
    t.check(abs(one["windows"][3][1] - REFERENCE["per_window_[count,nll]"][3][1]) < 2e-3, "window 3")


def test_quantizing_costs_little_and_is_measured(t):
    t.tiny()
    own = t.json("eval", "tiny.apr", "--dataset", EVAL, "--against", "tiny.apr", "--limit", "4")
    t.equal(own["mean_kld"], 0)
    t.equal(own["top1_agreement"], 1)
    t.equal(own["perplexity"], own["parent_perplexity"])
    for scheme, ratio, mean, top1 in [("int8", 1.001, 0.001, 0.98), ("int4", 1.006, 0.02, 0.9)]:
        t.ok("convert", "tiny.apr", "--quantize", scheme, "-o", f"{scheme}.apr")
        report = t.json("eval", f"{scheme}.apr", "--dataset", EVAL, "--against", "tiny.apr")
        t.check(report["perplexity"] <= ratio * REFERENCE["ppl"], f"{scheme}: {report['perplexity']}")
        t.check(0 < report["mean_kld"] < mean, f"{scheme}: {report['mean_kld']}")
        t.check(report["mean_kld"] < report["max_kld"], "the mean is below the largest")
        t.check(top1 < report["top1_agreement"] < 1, f"{scheme}: {report['top1_agreement']}")


def test_a_fault_shows_in_the_figures(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "int4.apr")
    faults.change_apr_tensor(t.path("int4.apr"), "model.layers.1.mlp.up_proj.weight", faults.swap_nibbles)
    report = t.json("eval", "int4.apr", "--dataset", EVAL, "--against", "tiny.apr", "--limit", "8")
    t.check(report["mean_kld"] > 0.05, f"mean KL divergence {report['mean_kld']}")
    t.check(report["perplexity"] > 1.05 * report["parent_perplexity"], "perplexity did not suffer")


def test_what_cannot_be_measured_is_refused(t):
    t.tiny()
    t.path("short.txt").write_text("a")
    t.path("empty.txt").write_text("")
    t.fails(5, "eval", "tiny.apr", "--dataset", "short.txt", says="1 token;")
    t.fails(5, "eval", "tiny.apr", "--dataset", "empty.txt", says="0 tokens")
    t.fails(3, "eval", "tiny.apr", "--dataset", "nowhere.txt", says="nowhere.txt")
    t.fails(2, "eval", "tiny.apr", "--dataset", EVAL, "--window", "2000", says="1024")
    t.fails(2, "eval", "tiny.apr", "--dataset", EVAL, "--window", "1")


def test_a_parent_with_another_vocabulary_is_refused(t):
    t.tiny()
    t.fails(5, "eval", "tiny.apr", "--dataset", EVAL, "--against", framework.shared("stories260K"),
            says="cannot be compared")


def test_synthetic_weights_are_refused_unless_allowed(t):
    folder = faults.copy_model(t.path("model"))
    checkpoint = faults.Checkpoint(folder / "model.safetensors")
    checkpoint.header["__metadata__"] = {**checkpoint.header.get("__metadata__", {}), "synthetic": "true"}
    checkpoint.save()
    t.fails(6, "eval", folder, "--dataset", EVAL, says="synthetic", hint="--allow-synthetic")
    t.ok("eval", folder, "--dataset", EVAL, "--limit", "1", "--allow-synthetic")


framework.main(globals())
