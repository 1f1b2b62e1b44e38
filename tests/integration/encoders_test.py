"""bert and whisper against their traces: every form that the traces have, faults that are found, traces that are refused."""
import json
import shutil

import faults
import framework


def folder_of(name):
    return framework.shared("arch") / name


def trace_of(name):
    return folder_of(name) / "golden" / "golden.json"


def check(t, model, name, *words, code=0, trace=None):
    return t.json("test-model", model, "--golden-trace", trace or trace_of(name), *words, code=code)


def checked(report):
    """(prompt, node) -> what was found."""
    return {(p["prompt"], n["node"]): n for p in report["prompts"] for n in p["nodes"]}


def copied_trace(t, name, change):
    """The trace with its JSON changed, the tensor file beside it."""
    source = trace_of(name)
    target = t.path(f"{name}-trace")
    shutil.copytree(source.parent, target, dirs_exist_ok=True)
    data = json.loads(source.read_text())
    change(data)
    (target / "golden.json").write_text(json.dumps(data))
    return target / "golden.json"


def faulty(t, name, number, fields=None, weight=None):
    """The model with other fields of its config, or with one weight changed: (tensor, index, by)."""
    folder = faults.copy_model(t.path(f"{name}-{number}"), folder_of(name))
    if fields:
        faults.edit_json(folder / "config.json", lambda config: config.update(fields))
    if weight:
        tensor, index, by = weight
        checkpoint = faults.Checkpoint(folder / "model.safetensors")
        checkpoint.put(tensor, index, checkpoint.get(tensor, index) + by)
        checkpoint.save()
    return folder


def test_bert_computes_what_its_reference_says(t):
    t.ok("import", folder_of("tiny-bert"), "-o", "bert.apr")
    for words in [[], ["--mode", "fast"], ["--backend", "reference"]]:
        report = check(t, "bert.apr", "tiny-bert", *words)
        t.check(report["passed"], report["first_divergence"])
        t.equal(report["nodes"], 28)
        t.check(0 < report["max_difference"] < 1e-5, report["max_difference"])
        limits = {n.rsplit(".", 1)[-1]: v["tolerance"] for (_, n), v in checked(report).items()}
        t.equal(limits["out"], 1e-4)
        t.equal(limits["pooler_output"], 5e-5)
        t.equal(limits["sentence_embedding"], 2e-5)
        t.equal(limits["attn_probs"], 1e-5)
        for prompt in report["prompts"]:
            t.equal(prompt["tokenizer"], {"checked": True, "passed": True})
            t.check("top" not in prompt and "greedy" not in prompt, "there are no next tokens")
        # Of the padded row only the tokens were compared.
        t.check(checked(report)["batch", "layer0.out"]["at"][0] in (0, 1), "no axis of sequences")
    text = t.ok("test-model", "bert.apr", "--golden-trace", trace_of("tiny-bert")).out
    t.contains(text, "28 values agree with the reference")
    t.lacks(text, "greedy tokens")


def test_padding_is_not_compared_and_all_else_is(t):
    t.ok("import", folder_of("tiny-bert"), "-o", "bert.apr")
    tensor_file = folder_of("tiny-bert") / "golden" / "golden.safetensors"

    def changed_at(index):
        """A trace whose batch.layer0.out differs at one number."""
        trace = copied_trace(t, "tiny-bert", lambda data: None)
        checkpoint = faults.Checkpoint(shutil.copyfile(tensor_file, trace.with_name("golden.safetensors")))
        checkpoint.put("batch.layer0.out", index, 9.0)
        checkpoint.save()
        digest = faults.sha256(trace.with_name("golden.safetensors"))
        faults.edit_json(trace, lambda data: data.update(tensor_file_sha256=digest))
        return trace

    inside, padding, second = 6 * 128 + 5, 7 * 128, (19 + 18) * 128 + 127
    t.check(check(t, "bert.apr", "tiny-bert", trace=changed_at(padding))["passed"], "padding was compared")
    for index, at in [(inside, [0, 6, 5]), (second, [1, 18, 127])]:
        report = check(t, "bert.apr", "tiny-bert", trace=changed_at(index), code=5)
        t.equal(report["first_divergence"]["node"], "layer0.out")
        t.equal(report["first_divergence"]["at"], at)
        t.equal(report["first_divergence"]["reference"], 9)
        t.equal(report["failures"], 1)


def test_faults_of_bert_are_found_and_named(t):
    planted = [
        ({"hidden_act": "gelu_new"}, None, "layer0.out"),
        ({"layer_norm_eps": 1e-5}, None, "embed"),
        (None, ("embeddings.token_type_embeddings.weight", 128, 0.5), "embed"),
        (None, ("encoder.layer.1.output.dense.weight", 1000, 0.5), "layer1.out"),
        (None, ("encoder.layer.2.attention.self.value.bias", 3, 0.5), "last_hidden_state"),
        (None, ("pooler.dense.weight", 7, 0.5), "pooler_output"),
    ]
    for number, (fields, weight, node) in enumerate(planted):
        report = check(t, faulty(t, "tiny-bert", number, fields, weight), "tiny-bert", code=5)
        t.equal(report["first_divergence"]["node"], node, fields or weight)


def test_ignored_token_types_are_found(t):
    def no_types(data):
        for prompt in data["prompts"]:
            prompt.pop("token_type_ids")

    report = check(t, folder_of("tiny-bert"), "tiny-bert", "--ids-from-trace", code=5,
                   trace=copied_trace(t, "tiny-bert", no_types))
    t.equal(report["first_divergence"]["node"], "embed")
    t.equal(report["first_divergence"]["prompt"], "pair")
    t.equal({p for p, _ in checked(report) if not all(n["passed"] for (q, _), n in checked(report).items()
                                                     if q == p)}, {"pair"})

    def other_types(data):
        data["prompts"][1]["token_type_ids"][14] = 1

    report = check(t, folder_of("tiny-bert"), "tiny-bert", code=5, trace=copied_trace(t, "tiny-bert", other_types))
    tokenizer = [p["tokenizer"] for p in report["prompts"] if p["prompt"] == "pair"][0]
    t.contains(tokenizer["problem"], "type of token 14")


def test_quantized_bert_is_held_to_the_noise_of_its_types(t):
    t.ok("import", folder_of("tiny-bert"), "-o", "m.apr")
    for scheme, weights in [("int8", "q8_0"), ("int4", "q4_0")]:
        t.ok("convert", "m.apr", "--quantize", scheme, "-o", f"{scheme}.apr")
        report = check(t, f"{scheme}.apr", "tiny-bert")
        t.check(report["passed"] and report["type_aware"], report["first_divergence"])
        t.equal(report["weights"], weights)
        t.check(check(t, f"{scheme}.apr", "tiny-bert", "--tolerance", "1e-4", code=5)["failures"] > 0, "passed")
    faults.change_apr_tensor(t.path("int4.apr"), "encoder.layer.1.intermediate.dense.weight", faults.swap_nibbles)
    report = check(t, "int4.apr", "tiny-bert", code=5)
    t.equal(report["first_divergence"]["node"], "layer1.out")


def test_traces_with_wrong_fields_are_refused(t):
    t.ok("import", folder_of("tiny-bert"), "-o", "m.apr")
    broken = [
        (lambda p: p[3]["ids"][0].pop(), "attention_mask"),
        (lambda p: (p[3].pop("attention_mask"), p[3]["ids"][0].pop()), "token_type_ids"),
        (lambda p: (p[3].pop("attention_mask"), p[3].pop("token_type_ids"), p[3]["ids"][1].pop()),
         "rows of different lengths"),
        (lambda p: p[3]["attention_mask"][0].reverse(), "attention_mask"),
        (lambda p: p[0]["attention_mask"].__setitem__(3, 2), "attention_mask"),
        (lambda p: p[0].update(attention_mask=[0] * 11), "prompts[0].ids is empty"),
        (lambda p: p[3]["attention_mask"].pop(), "attention_mask[1]"),
        (lambda p: p[1]["token_type_ids"].pop(), "token_type_ids"),
        (lambda p: p[3].update(greedy_ids=[1, 2]), "several sequences"),
        (lambda p: p[0]["tensors"].append("pair.embed"), "does not begin with"),
    ]
    for change, says in broken:
        trace = copied_trace(t, "tiny-bert", lambda data, change=change: change(data["prompts"]))
        t.fails(4, "test-model", "m.apr", "--golden-trace", trace, says=says)
    no_sense = [
        (lambda p: p[0].update(greedy_ids=[1, 2]), "does not predict"),
        (lambda p: p[0].update(ids=[2] * 200, token_type_ids=[0] * 200, attention_mask=[1] * 200), "200 positions"),
    ]
    for change, says in no_sense:
        trace = copied_trace(t, "tiny-bert", lambda data, change=change: change(data["prompts"]))
        t.fails(5, "test-model", "m.apr", "--golden-trace", trace, says=says)
    t.ok("import", framework.BUNDLED, "-o", "chat.apr")
    t.check(t.run("test-model", "chat.apr", "--golden-trace", trace_of("tiny-bert")).code in (3, 5), "accepted")


def test_whisper_computes_what_its_reference_says(t):
    t.ok("import", folder_of("tiny-whisper"), "-o", "whisper.apr")
    for words in [[], ["--mode", "fast"], ["--backend", "reference"], ["--features-from-trace"]]:
        report = check(t, "whisper.apr", "tiny-whisper", *words)
        t.check(report["passed"], report["first_divergence"])
        from_trace = "--features-from-trace" in words
        t.equal(report["nodes"], 18 if from_trace else 19)
        t.equal([p["prompt"] for p in report["prompts"]], ["audio", "start4", "prefix8"])
        t.equal(report["greedy_tokens"], 13 + 9)
        found = checked(report)
        t.equal(("audio", "input_features") in found, not from_trace)
        limits = {node: n["tolerance"] for (_, node), n in found.items()}
        t.equal(limits["enc.layer1.out.first160"], 5e-4)
        t.equal(limits["enc.final_norm.every50"], 2e-4)
        t.equal(limits["enc.layer0.attn_probs.queries"], 2e-5)
        t.equal(limits["dec.layer0.cross_attn_probs"], 2e-5)
        t.equal(limits["dec.layer1.out"], 3e-4)
        t.equal(limits["logits_all"], 2e-4)
    for scheme, weights in [("int8", "q8_0"), ("int4", "q4_0")]:
        t.ok("convert", "whisper.apr", "--quantize", scheme, "-o", f"{scheme}.apr")
        report = check(t, f"{scheme}.apr", "tiny-whisper")
        t.check(report["passed"] and report["type_aware"], report["first_divergence"])
        t.equal(report["weights"], weights)
        # The front end has no weights: it is held to float32 all the same.
        t.check(checked(report)["audio", "input_features"]["tolerance"] == 1e-4, "features")


def test_faults_of_whisper_are_found_and_named(t):
    planted = [
        ({"activation_function": "gelu_new"}, None, "enc.embed"),
        (None, ("model.encoder.conv1.weight", 5, 0.5), "enc.embed"),
        (None, ("model.encoder.layers.0.self_attn.q_proj.weight", 5, 1.0), "enc.layer0.attn_probs.queries"),
        (None, ("model.encoder.layers.1.fc2.weight", 1000, 0.5), "enc.layer1.out"),
        (None, ("model.encoder.layer_norm.bias", 1, 0.5), "enc.final_norm"),
        (None, ("model.decoder.layers.0.encoder_attn.q_proj.weight", 9, 1.0), "dec.layer0.cross_attn_probs"),
        (None, ("model.decoder.layers.1.fc1.weight", 9, 1.0), "dec.layer1.out"),
    ]
    for number, (fields, weight, node) in enumerate(planted):
        report = check(t, faulty(t, "tiny-whisper", number, fields, weight), "tiny-whisper", code=5)
        # A prompt with logits alone comes first; what is computed earlier says more.
        found = report["first_divergence"]["node"].removesuffix(".every50").removesuffix(".first160")
        t.equal(found, node, fields or weight)


def test_the_recording_and_what_is_heard_of_it_are_checked(t):
    t.ok("import", folder_of("tiny-whisper"), "-o", "m.apr")
    trace = copied_trace(t, "tiny-whisper", lambda data: None)
    sound = trace.with_name("chirps.wav")
    data = bytearray(sound.read_bytes())
    data[44 + 2 * 8000 + 1] ^= 8  # one sample of 48,000, a little
    sound.write_bytes(data)
    t.fails(4, "test-model", "m.apr", "--golden-trace", trace, says=["chirps.wav", "SHA-256"])
    faults.edit_json(trace, lambda d: d.update(audio_sha256=faults.sha256(sound)))
    report = check(t, "m.apr", "tiny-whisper", trace=trace, code=5)
    t.equal(report["first_divergence"]["node"], "input_features")
    t.check(check(t, "m.apr", "tiny-whisper", "--features-from-trace", trace=trace)["passed"], "the trace's own")
    sound.unlink()
    t.fails(3, "test-model", "m.apr", "--golden-trace", trace, says="chirps.wav")
    t.check(check(t, "m.apr", "tiny-whisper", "--features-from-trace", trace=trace)["passed"], "no file is needed")


def test_parts_of_values_are_the_parts_they_say(t):
    t.ok("import", folder_of("tiny-whisper"), "-o", "m.apr")
    queries = "enc.layer0.attn_probs.queries"

    def rows(*numbers):
        return lambda data: data["tensors"][queries].update(rows=list(numbers))

    def without_notes(data):
        data["notes"] = []

    for change in [rows(0, 75, 149, 1000), without_notes]:
        t.check(check(t, "m.apr", "tiny-whisper", trace=copied_trace(t, "tiny-whisper", change))["passed"], "rows")
    for numbers in [(0, 75, 149, 1001), (75, 0, 149, 1000), (0, 75, 149, 1500)]:
        report = check(t, "m.apr", "tiny-whisper", trace=copied_trace(t, "tiny-whisper", rows(*numbers)), code=5)
        t.equal(report["first_divergence"]["node"], queries)
        t.equal(report["failures"], 1)

    def other_note(data):
        data["notes"] = [note.replace("[0, 75, 149, 1000]", "[0, 75, 149, 1002]") for note in data["notes"]]

    report = check(t, "m.apr", "tiny-whisper", trace=copied_trace(t, "tiny-whisper", other_note), code=5)
    t.equal(report["first_divergence"]["node"], queries)


def test_audio_traces_with_wrong_fields_are_refused(t):
    t.ok("import", folder_of("tiny-whisper"), "-o", "m.apr")
    broken = [
        (lambda d: d["tensors"]["enc.layer0.attn_probs.queries"].update(rows=[0, 75]), ".rows"),
        (lambda d: d["input_features"].update(shape=[80]), "input_features.shape"),
        (lambda d: d["input_features"].update(shape=[80, 2_000_000_000]), "input_features.shape"),
        (lambda d: d["input_features"].update(stored_frames=319), "input_features"),
        (lambda d: d["input_features"].update(constant_from_frame=321), "stored ones hold"),
        (lambda d: d["input_features"].update(constant_after=-0.5), "sha256_full_float32"),
        (lambda d: d["input_features"].pop("constant_after"), "stored ones hold"),
        (lambda d: d.update(audio_file="../chirps.wav"), "audio_file"),
        (lambda d: d["prompts"][1]["tensors"].append("start4.enc.embed"), "start4.enc.embed"),
        (lambda d: d["prompts"][1]["tensors"].append("enc.nothing"), "enc.nothing"),
    ]
    for change, says in broken:
        t.fails(4, "test-model", "m.apr", "--golden-trace", copied_trace(t, "tiny-whisper", change), says=says)

    def no_audio(data):
        data.pop("input_features"), data.pop("audio_file")
        for prompt in data["prompts"]:
            prompt["tensors"] = [name for name in prompt["tensors"] if name.startswith(prompt["name"])]

    t.fails(5, "test-model", "m.apr", "--golden-trace", copied_trace(t, "tiny-whisper", no_audio), says="no audio")
    t.ok("import", folder_of("tiny-gpt2"), "-o", "gpt2.apr")
    t.check(t.run("test-model", "gpt2.apr", "--golden-trace", trace_of("tiny-whisper")).code in (3, 5), "accepted")


START = "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>"


def exported(t, model, *words):
    """A trace of one's own, which the model passes; the report and the trace's JSON."""
    report = t.json("trace", model, *words, "--export", "trace", "--force")
    passed = t.json("test-model", model, "--golden-trace", t.path("trace") / "golden.json")
    t.check(passed["passed"] and passed["max_difference"] == 0, passed["first_divergence"])
    return report, json.loads((t.path("trace") / "golden.json").read_text())


def test_traces_of_bert_are_read_back(t):
    t.ok("import", folder_of("tiny-bert"), "-o", "m.apr")
    report, trace = exported(t, "m.apr", "--prompt", "Mia was a shy girl who lived near the lake.",
                             "--pair", "She wanted to learn to swim.")
    golden = json.loads(trace_of("tiny-bert").read_text())["prompts"][1]
    t.equal((report["ids"], report["token_type_ids"]), (golden["ids"], golden["token_type_ids"]))
    t.check("greedy_ids" not in report and "top10_ids" not in trace["prompts"][0], "bert predicts nothing")
    shapes = {v["node"]: v["shape"] for v in report["values"]}
    t.equal(shapes["layer0.attn_probs"], [4, 23, 23])
    t.equal(shapes["layer2.out"], [23, 128])
    t.equal(shapes["pooler_output"], [128])
    # The same by numbers, and with other token types.
    ids = ["--ids", ",".join(map(str, golden["ids"]))]
    same, _ = exported(t, "m.apr", *ids, "--token-types", ",".join(map(str, golden["token_type_ids"])))
    t.equal(same["values"], report["values"])
    other, _ = exported(t, "m.apr", *ids, "--nodes", "*")
    found = {v["node"]: v for v in other["values"]}
    t.check(found["embed"] != report["values"][0], "types made no difference")
    t.check(found["word_embed"]["shape"] == found["layer1.attn.q_proj"]["shape"] == [23, 128], found.keys())
    report = t.json("test-model", folder_of("tiny-bert"), "--golden-trace", t.path("trace") / "golden.json")
    t.check(report["passed"], "the folder does not pass")
    wrong = faulty(t, "tiny-bert", 0, {"hidden_act": "gelu_new"})
    report = t.json("test-model", wrong, "--golden-trace", t.path("trace") / "golden.json", code=5)
    t.equal(report["first_divergence"]["node"], "layer0.mlp.act")


def test_traces_of_whisper_are_read_back(t):
    t.ok("import", folder_of("tiny-whisper"), "-o", "m.apr")
    sound = folder_of("tiny-whisper") / "golden" / "chirps.wav"
    report, trace = exported(t, "m.apr", "--audio", sound, "--prompt", START, "--greedy", "16")
    golden = json.loads(trace_of("tiny-whisper").read_text())
    t.equal(report["ids"], golden["prompts"][0]["ids"])
    t.equal(report["top10_ids"], golden["prompts"][0]["top10_ids"])
    t.equal(report["greedy_ids"], golden["prompts"][0]["greedy_ids"])
    t.equal(trace["input_features"]["shape"], [80, 3000])
    t.equal(trace["input_features"]["constant_from_frame"], 302)
    shapes = {v["node"]: v["shape"] for v in report["values"]}
    t.equal(shapes["enc.final_norm"], [1500, 64])
    t.equal(shapes["dec.layer0.cross_attn_probs"], [2, 4, 1500])
    exported(t, "m.apr", "--audio", sound, "--prompt", START, "--nodes", "*conv*")
    wrong = faulty(t, "tiny-whisper", 0, weight=("model.encoder.conv1.bias", 3, 0.5))
    report = t.json("test-model", wrong, "--golden-trace", t.path("trace") / "golden.json", code=5)
    t.equal(report["first_divergence"]["node"], "enc.conv1")


def test_what_makes_no_sense_to_trace_is_refused(t):
    bert, whisper, gpt2 = map(folder_of, ["tiny-bert", "tiny-whisper", "tiny-gpt2"])
    sound = whisper / "golden" / "chirps.wav"
    for code, words, says in [
        (2, [bert, "--prompt", "a", "--audio", sound], "does not hear"),
        (2, [whisper, "--prompt", "a"], "--audio"),
        (2, [gpt2, "--prompt", "a", "--pair", "b"], "--pair"),
        (2, [bert, "--prompt", "a", "--greedy", "3"], "--greedy"),
        (2, [bert, "--ids", "2,3", "--pair", "b"], "--pair"),
        (2, [bert, "--prompt", "a", "--token-types", "0"], "--token-types"),
        (2, [bert, "--ids", "2,3", "--token-types", "0"], "--token-types"),
        (2, [gpt2, "--ids", "2,3", "--token-types", "0,0"], "--token-types"),
        (8, [bert, "--ids", "2,3", "--token-types", "0,2"], "token_type_embed"),
        (4, [whisper, "--prompt", "a", "--audio", bert / "config.json"], "config.json"),
    ]:
        t.fails(code, "trace", *words, says=says)


def test_encoders_are_timed(t):
    report = t.json("bench", folder_of("tiny-bert"), "--prefill", "20", "--batch", "3", "--repeat", "2")
    t.equal((report["prefill"], report["batch"], len(report["prefill_runs"])), (20, 3, 2))
    for key in ["prefill_tokens_per_second", "tokens_per_second", "sequences_per_second", "load_seconds"]:
        t.check(report[key] > 0, key)
    t.check(not {"decode", "decode_tokens_per_second", "first_token_seconds"} & report.keys(), "bert writes nothing")
    t.contains(t.ok("bench", folder_of("tiny-bert"), "--repeat", "1").out, "8 sequences of 128 tokens at once")
    report = t.json("bench", folder_of("tiny-whisper"), "--prefill", "8", "--decode", "4", "--repeat", "2")
    t.equal((report["encoder_frames"], len(report["encoder_runs"])), (3000, 2))
    for key in ["encoder_seconds", "prefill_tokens_per_second", "decode_tokens_per_second", "first_token_seconds"]:
        t.check(report[key] > 0, key)
    t.check(report["first_token_seconds"] > report["encoder_seconds"] / 2, "the first token comes after hearing")
    t.contains(t.ok("bench", folder_of("tiny-whisper"), "--repeat", "1", "--decode", "2").out, "3000 frames")
    t.fails(2, "bench", folder_of("tiny-bert"), "--decode", "3", says="--decode")
    t.fails(2, "bench", folder_of("tiny-bert"), "--prefill", "129", says="128")
    t.fails(2, "bench", folder_of("tiny-gpt2"), "--batch", "3", says="--batch")


def test_verbs_for_texts_say_what_the_model_is_for(t):
    for name, is_for in [("tiny-bert", "apr embeddings"), ("tiny-whisper", "apr transcribe")]:
        for verb in [["eval", folder_of(name), "--dataset", framework.BUNDLED / "golden" / "eval.txt"],
                     ["run", folder_of(name), "Hello"], ["chat", folder_of(name)]]:
            t.fails(9, *verb, says=[f"apr {verb[0]}", name.removeprefix("tiny-")], hint=is_for)


framework.main(globals())
