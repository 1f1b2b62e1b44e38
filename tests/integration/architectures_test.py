"""Every verb on one small trained model per architecture; old layouts of checkpoints; mistakes that are found."""
import faults
import framework

EVAL = framework.BUNDLED / "golden" / "eval.txt"
# Perplexity as the reference implementation has it; how far int8 and int4 may go from it.
MODELS = {"tiny-mistral": 3.126430, "tiny-gpt2": 3.546496}


def folder_of(name):
    return framework.shared("arch") / name


def trace_of(name):
    return folder_of(name) / "golden" / "golden.json"


def check(t, model, name, *words, code=0):
    return t.json("test-model", model, "--golden-trace", trace_of(name), *words, code=code)


def tensors(path):
    """Name -> dtype, shape, bytes."""
    checkpoint = faults.Checkpoint(path)
    found = {}
    for name, entry in checkpoint.header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = (entry["dtype"], entry["shape"], bytes(checkpoint.data[begin:end]))
    return found


def write_tensors(path, tensors_by_name):
    checkpoint = faults.Checkpoint(path)
    checkpoint.header, checkpoint.data = {}, bytearray()
    for name, (dtype, shape, data) in tensors_by_name.items():
        begin = len(checkpoint.data)
        checkpoint.data += data
        checkpoint.header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + len(data)]}
    checkpoint.save()


def test_import_keeps_every_number_and_the_traces_agree(t):
    for name in MODELS:
        t.ok("import", folder_of(name), "-o", f"{name}.apr")
        t.ok("validate", "--quality", f"{name}.apr")
        t.contains(t.ok("inspect", f"{name}.apr").out, name.removeprefix("tiny-"))
        for words in [[], ["--mode", "fast"], ["--backend", "reference"]]:
            report = check(t, f"{name}.apr", name, *words)
            t.check(report["passed"], report["first_divergence"])
            t.equal(report["nodes"], 21)
            t.check(report["max_difference"] < 2e-4, report["max_difference"])
        t.check(check(t, folder_of(name), name)["passed"], "the folder itself does not pass")


def test_perplexity_is_the_references_and_quantizing_costs_little(t):
    for name, expected in MODELS.items():
        t.ok("import", folder_of(name), "-o", "m.apr", "--force")
        measured = t.json("eval", "m.apr", "--dataset", EVAL, "--window", "256")["perplexity"]
        t.check(abs(measured / expected - 1) < 1e-5, f"{name}: {measured}")
        size = t.path("m.apr").stat().st_size
        for scheme, growth, smaller in [("int8", 0.001, 0.6), ("int4", 0.03, 0.4)]:
            t.ok("convert", "m.apr", "--quantize", scheme, "-o", "q.apr", "--force")
            t.check(check(t, "q.apr", name)["passed"], f"{name} {scheme} did not pass")
            report = t.json("eval", "q.apr", "--dataset", EVAL, "--window", "256", "--against", "m.apr")
            t.check(report["perplexity"] < expected * (1 + growth), f"{name} {scheme}: {report['perplexity']}")
            t.check(t.path("q.apr").stat().st_size < smaller * size, f"{name} {scheme} is large")


def test_export_gives_the_same_tensors_back(t):
    for name in MODELS:
        t.ok("import", folder_of(name), "-o", "m.apr", "--force")
        t.ok("export", "m.apr", "--format", "safetensors", "-o", f"{name}-back")
        back = t.path(f"{name}-back")
        t.equal(tensors(back / "model.safetensors"), tensors(folder_of(name) / "model.safetensors"))
        t.equal((back / "config.json").read_bytes(), (folder_of(name) / "config.json").read_bytes())
        t.check(check(t, back, name)["passed"], "the export does not pass")


def test_they_speak_trace_and_are_timed(t):
    for name in MODELS:
        t.ok("import", folder_of(name), "-o", "m.apr", "--force")
        t.contains(t.ok("run", "m.apr", "What is the capital of France?").out, "Paris")
        t.ok("trace", "m.apr", "--prompt", "Once upon a time, there was a girl.", "--export", f"{name}-trace")
        t.ok("test-model", "m.apr", "--golden-trace", t.path(f"{name}-trace") / "golden.json")
        t.ok("bench", "m.apr", "--json")


def test_the_mistakes_that_the_traces_know_are_found(t):
    mistakes = [("tiny-mistral", {"sliding_window": 17}), ("tiny-mistral", {"sliding_window": None}),
                ("tiny-mistral", {"rms_norm_eps": 1e-6}), ("tiny-gpt2", {"activation_function": "gelu"}),
                ("tiny-gpt2", {"layer_norm_epsilon": 1e-6})]
    for i, (name, fields) in enumerate(mistakes):
        folder = faults.copy_model(t.path(f"model{i}"), folder_of(name))
        faults.edit_json(folder / "config.json", lambda config: config.update(fields))
        report = check(t, folder, name, code=5)
        t.check(not report["passed"], fields)
        if "sliding_window" in fields:  # it agrees with the control that was made with the mistake
            controls = [c for p in report["prompts"] for c in p.get("controls", [])]
            control = "keys17.logits_last" if fields["sliding_window"] else "full.logits_last"
            t.equal([c["node"] for c in controls if not c["passed"]], [control])


def test_gpt2_of_the_old_layout_is_the_same_model(t):
    folder = faults.copy_model(t.path("old"), folder_of("tiny-gpt2"))
    path = folder / "model.safetensors"
    old = {}
    for name, (dtype, shape, data) in tensors(path).items():
        old[name.removeprefix("transformer.")] = (dtype, shape, data)
    for layer in range(3):
        old[f"h.{layer}.attn.bias"] = ("F32", [1, 1, 4, 4], bytes(64))
        old[f"h.{layer}.attn.masked_bias"] = ("F32", [], bytes(4))
    write_tensors(path, old)
    t.ok("import", folder, "-o", "old.apr")
    t.ok("validate", "old.apr")
    t.check(check(t, "old.apr", "tiny-gpt2")["passed"], "not passed")
    t.check(check(t, folder, "tiny-gpt2")["passed"], "the folder does not pass")


def test_a_context_beyond_the_learned_positions_is_refused(t):
    t.ok("import", folder_of("tiny-gpt2"), "-o", "m.apr")
    prompt = "Once upon a time. " * 100
    t.check(t.run("run", "m.apr", "--raw", prompt).code != 0, "a prompt of 500 tokens was accepted")


framework.main(globals())
