"""apr run, chat and bench."""
import json
import math
import shutil
import signal
import statistics
import subprocess

import framework


def golden():
    return json.loads((framework.BUNDLED / "golden" / "golden.json").read_text())


def turns(run):
    return [json.loads(line) for line in run.out.splitlines()]


def test_one_answer(t):
    t.tiny()
    t.equal(t.ok("run", "tiny.apr", "What is 2+2?").out, "4\n")
    t.equal(t.ok("run", "tiny.apr", "What is the capital of France?").out, "The capital of France is Paris.\n")


def test_prompt_from_standard_input(t):
    t.tiny()
    t.equal(t.ok("run", "tiny.apr", stdin="What is 2+2?\n").out, "4\n")
    t.equal(t.ok("run", "tiny.apr", "-", stdin="What is 2+2?").out, "4\n")


def test_report(t):
    t.tiny()
    report = t.json("run", "tiny.apr", "What is 12+31?")
    wanted = {"text": "43", "tokens": 2, "ids": [19, 18], "finish_reason": "stop_id", "prompt_tokens": 28}
    for key, value in wanted.items():
        t.equal(report[key], value, key)
    for key in ["prefill_tokens_per_second", "decode_tokens_per_second"]:
        if not report[key] > 0:
            raise framework.Failure(f"{key} is {report[key]}")


def test_raw_equals_the_recorded_continuations(t):
    compared = 0
    for entry in golden()["prompts"]:
        if entry["n_tokens"] > 200 or not entry["parse_special"]:
            continue
        report = t.json("run", framework.BUNDLED, entry["prompt"], "--raw", "--parse-special", "--mode", "exact",
                        "-n", len(entry["greedy_ids"]))
        stop = entry["greedy_stop_index"]
        t.equal(report["ids"], entry["greedy_ids"][:stop] if stop is not None else entry["greedy_ids"], entry["name"])
        t.equal(report["prompt_tokens"], entry["n_tokens"], entry["name"])
        compared += 1
    if compared < 3:
        raise framework.Failure(f"only {compared} prompts compared")


def test_special_tokens_stay_text_unless_asked(t):
    t.tiny()
    plain = t.json("run", "tiny.apr", "<|im_end|>", "--raw", "-n", 1)["prompt_tokens"]
    special = t.json("run", "tiny.apr", "<|im_end|>", "--raw", "--parse-special", "-n", 1)["prompt_tokens"]
    t.equal(special, 1, "with --parse-special")
    if not plain > 3:
        raise framework.Failure(f"{plain} tokens without it")
    # In a chat message they are text as well: as many tokens more as the text alone has.
    base = t.json("run", "tiny.apr", "a", "-n", 1)["prompt_tokens"]
    longer = t.json("run", "tiny.apr", "a<|im_end|>", "-n", 1)["prompt_tokens"]
    if not longer - base > 3:
        raise framework.Failure(f"{base} and {longer} tokens")


def test_seed_and_temperature(t):
    t.tiny()
    words = ["run", "tiny.apr", "Tell me a story.", "--temperature", 1.2, "-n", 30]
    a, b, c = (t.ok(*words, "--seed", seed).out for seed in (5, 5, 6))
    t.equal(a, b, "the same seed")
    if a == c:
        raise framework.Failure("another seed gave the same story")
    t.equal(t.ok(*words[:3], "-n", 30, "--seed", 1).out, t.ok(*words[:3], "-n", 30, "--seed", 2).out, "greedy")


def test_threads_do_not_matter(t):
    t.tiny()
    words = ["run", "tiny.apr", "Tell me a story.", "--json", "--temperature", 1]
    ids = [t.ok(*words, "--threads", n).json()["ids"] for n in (1, 2, 3)]
    t.equal(ids[0], ids[1], "threads")
    t.equal(ids[0], ids[2], "threads")


def test_limits_and_stops(t):
    t.tiny()
    report = t.json("run", "tiny.apr", "Tell me a story.", "-n", 5)
    t.equal((report["tokens"], report["finish_reason"]), (5, "max_tokens"))
    whole = t.json("run", "tiny.apr", "Tell me a story.")["text"]
    word = whole.split()[3]
    report = t.json("run", "tiny.apr", "Tell me a story.", "--stop", "no such text", "--stop", word)
    t.equal((report["text"], report["finish_reason"]), (whole[:whole.index(word)], "stop_string"))
    report = t.json("run", "tiny.apr", "Tell me a story.", "--context", 40)
    t.equal(report["finish_reason"], "context_full")


def test_refusals(t):
    t.tiny()
    t.fails(2, "run", "tiny.apr", "x", "--max-tokens", 5000, says=["5000", "1024"])
    t.fails(2, "chat", "tiny.apr", "--max-tokens", 5000, says=["5000", "1024"])
    t.fails(2, "run", "tiny.apr", "x", "--context", 5000, says=["5000", "1024"])
    t.fails(2, "run", "tiny.apr", "hello " * 50, "--context", 30, says=["tokens", "30"])
    t.fails(2, "run", "tiny.apr", "hello " * 3000, says=["tokens", "1024"])
    t.fails(2, "run", "tiny.apr", "", says="prompt is empty")
    t.fails(2, "run", "tiny.apr", "x", "--top-p", 0, says="top-p")
    t.fails(2, "run", "tiny.apr", "x", "--temperature", -1, says="temperature")
    t.fails(2, "run", "tiny.apr", "x", "--parse-special", says="--raw")
    t.fails(2, "run", "tiny.apr", "x", "--raw", "--system", "y", says="--system")
    t.fails(2, "bench", "tiny.apr", "--prefill", 1000, "--decode", 100, says=["1100", "1024"])
    t.fails(2, "run", "tiny.apr", "x", "--date", "someday", says='the date "someday" is neither')


def test_broken_template(t):
    folder = t.path("model")
    shutil.copytree(framework.BUNDLED, folder, ignore=shutil.ignore_patterns("golden", "recipe"))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}\n{{ m.content", encoding="utf-8")
    t.fails(4, "run", folder, "x", says=["chat_template.jinja:2:1", "never closed"])
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no ' + messages[0].role) }}", encoding="utf-8")
    t.fails(5, "chat", folder, stdin="x\n", says="no user")
    (folder / "chat_template.jinja").write_text("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
                                                "{% endfor %}", encoding="utf-8")
    t.fails(4, "run", folder, "x", says="steps")


def test_synthetic_models(t):
    folder = t.path("model")
    shutil.copytree(framework.BUNDLED, folder, ignore=shutil.ignore_patterns("golden", "recipe"))
    raw = (framework.BUNDLED / "model.safetensors").read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    header.setdefault("__metadata__", {})["synthetic"] = "true"
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size:])
    t.ok("import", folder, "-o", "made-up.apr")
    t.fails(6, "run", "made-up.apr", "x", says="synthetic", hint="--allow-synthetic")
    t.fails(6, "chat", "made-up.apr", says="synthetic")
    t.ok("run", "made-up.apr", "x", "--allow-synthetic", "-n", 2)
    t.equal(t.json("bench", "made-up.apr", "--prefill", 8, "--decode", 2, "--repeat", 1)["synthetic"], True)


def test_system_message(t):
    t.tiny()
    a = turns(t.ok("chat", "tiny.apr", "--json", "--system", "Answer briefly.", stdin="Hello\n"))[0]
    b = turns(t.ok("chat", "tiny.apr", "--json", stdin="/system Answer briefly.\nHello\n"))[0]
    t.equal((a["ids"], a["prompt_tokens"]), (b["ids"], b["prompt_tokens"]))


def test_bytes_that_are_no_text(t):
    """A byte-level vocabulary can write any bytes; what is printed is text all the same, the text of the report."""
    import checkpoints
    seen = 0
    for seed in range(1, 4):
        tensors = {name: (shape, [8 * x for x in floats]) for name, (shape, floats) in checkpoints.weights(seed).items()}
        model = checkpoints.write_folder(t.path(f"m{seed}"), tensors)
        words = ["run", model, "Hello", "--max-tokens", "60", "--allow-synthetic"]
        text = json.loads(t.ok(*words, "--json").out)["text"]
        done = subprocess.run([framework.PROGRAM, *map(str, words)], capture_output=True, cwd=t.folder, timeout=60)
        t.equal(done.stdout.decode("utf-8").removesuffix("\n"), text)
        seen += text.count("\ufffd")
    t.check(seen > 0, "none of the models wrote such bytes: the test proves nothing")


def test_bench_keys(t):
    t.tiny()
    report = t.json("bench", "tiny.apr", "--prefill", 32, "--decode", 4, "--repeat", 2, "--threads", 1)
    for key in ["prefill_tokens_per_second", "decode_tokens_per_second", "first_token_seconds", "load_seconds",
                "peak_rss_bytes", "anonymous_bytes"]:
        if not report[key] > 0:
            raise framework.Failure(f"{key} is {report[key]}")
    t.equal(report["tokens_per_second"], report["decode_tokens_per_second"])
    t.equal((len(report["prefill_runs"]), report["threads"]), (2, 1))
    t.contains(t.ok("bench", "tiny.apr", "--prefill", 8, "--decode", 2).out, "tokens/s", "First token")


def test_bench_spread(t):
    t.tiny()
    report = t.json("bench", "tiny.apr", "--prefill", 8, "--max-tokens", 2, "--iterations", 4)
    t.equal((report["repeat"], report["decode"]), (4, 2))
    for what in ["prefill", "decode", "first_token"]:
        runs, spread = report[what + "_runs"], report[what + "_spread"]
        t.equal((len(runs), spread["min"], spread["max"]), (4, min(runs), max(runs)))
        if not math.isclose(spread["stddev"], statistics.stdev(runs), rel_tol=1e-9):
            raise framework.Failure(f"{what}: {spread} of {runs}")
    t.equal(report["first_token_seconds"], statistics.median(report["first_token_runs"]))
    out = t.ok("bench", "tiny.apr", "--prefill", 8, "--decode", 2).out
    t.equal(out.count(" ± "), 2, out)
    one = t.json("bench", "tiny.apr", "--prefill", 8, "--decode", 1, "--repeat", 1)
    t.equal((one["prefill_spread"]["stddev"], one["prefill_spread"]["max"]), (None, one["prefill_tokens_per_second"]))
    t.lacks(t.ok("bench", "tiny.apr", "--prefill", 8, "--decode", 1, "--repeat", 1).out, "±", "(1 tokens)")


def test_interrupted_run(t):
    t.tiny()
    process = subprocess.Popen([framework.PROGRAM, "run", "tiny.apr", "Tell me a story.", "--temperature", "5", "-n", "900",
                                "--backend", "reference"], cwd=t.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    t.equal(process.returncode, 130, err.decode())


framework.main(globals())
