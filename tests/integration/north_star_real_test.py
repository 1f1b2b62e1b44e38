"""scripts/north-star-real on the bundled model: it passes with the right oracle and stops at a wrong one."""
import json
import os
import subprocess
import sys

import framework

SCRIPT = framework.SOURCE / "scripts" / "north-star-real"
GOLDEN = json.loads((framework.BUNDLED / "golden" / "golden.json").read_text())


def run(t, oracle, *words, env=None):
    t.path("oracle.json").write_text(json.dumps(oracle))
    return subprocess.run([sys.executable, "-B", SCRIPT, "--oracle", t.path("oracle.json"), "--apr", framework.PROGRAM, "--out",
                           t.path("out"), *map(str, words)], capture_output=True, text=True, timeout=300, env=env)


def oracle():
    prompts = [{"prompt": entry["prompt"], "greedy_ids": entry["greedy_ids"][:8]} for entry in GOLDEN["prompts"]
               if entry["parse_special"] and entry["n_tokens"] < 200]
    return {"model": "bundled", "perplexity_ceiling": 15, "files": [], "prompts": prompts}


def test_the_script_runs_the_whole_way(t):
    text = (framework.BUNDLED / "golden" / "eval.txt").read_text()
    t.path("text.txt").write_text(text[:len(text) // 8])
    done = run(t, oracle(), "--source", framework.BUNDLED, "--text", t.path("text.txt"))
    t.equal(done.returncode, 0, done.stdout + done.stderr)
    for words in ["as recorded", "int4:", "model-int8: perplexity"]:
        t.check(words in done.stdout, f"{words!r} is not in {done.stdout}")


def test_wrong_tokens_stop_it(t):
    wrong = oracle()
    wrong["prompts"][0]["greedy_ids"][0] += 1
    done = run(t, wrong, "--source", framework.BUNDLED)
    t.equal(done.returncode, 1)
    t.check("does not compute what the reference computed" in done.stderr, done.stderr)


def test_a_perplexity_too_high_stops_it(t):
    strict = {**oracle(), "perplexity_ceiling": 1.5}
    done = run(t, strict, "--source", framework.BUNDLED, "--text", framework.BUNDLED / "golden" / "eval.txt")
    t.equal(done.returncode, 1)
    t.check("is above 1.5" in done.stderr, done.stderr)


def test_without_a_source_it_says_what_it_needs(t):
    done = run(t, oracle(), env={key: value for key, value in os.environ.items() if key != "HF_ENDPOINT"})
    t.equal(done.returncode, 1)
    t.check("--source" in done.stderr and "HF_ENDPOINT" in done.stderr, done.stderr)


framework.main(globals())
