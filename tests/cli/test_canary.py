"""apr canary: what was recorded still holds, and every kind of change is noticed."""
import hashlib
import json

import checkpoints
import framework


def made(t, model="tiny.apr", *words):
    t.ok("canary", "create", model, "-o", "c.json", *words)
    return json.loads(t.path("c.json").read_text())


def check(t, model, *words, code=0):
    return t.json("canary", "check", model, "c.json", *words, code=code)


def changed(t, name, change):
    """A checkpoint and a copy with one tensor changed."""
    tensors = checkpoints.weights()
    a = checkpoints.write_folder(t.path("a"), tensors)
    change(tensors[name][1])
    return a, checkpoints.write_folder(t.path("b"), tensors)


def test_a_model_is_what_it_was(t):
    t.tiny()
    canary = made(t)
    t.equal((canary["kind"], canary["tensor_count"], len(canary["prompts"])), ("logits", 50, 5))
    report = check(t, "tiny.apr")
    t.equal((report["passed"], report["failures"], report["max_difference"]), (True, 0, 0))
    t.check(all(p["same_digest"] for p in report["prompts"]), report["prompts"])
    t.contains(t.ok("canary", "check", "tiny.apr", "c.json").out, "as recorded: 50 tensors, 5 prompts")


def test_the_file_is_the_same_for_any_number_of_threads(t):
    t.tiny()
    for threads in "13":
        t.ok("canary", "create", "tiny.apr", "-o", f"{threads}.json", "--threads", threads)
    t.equal(t.path("1.json").read_bytes(), t.path("3.json").read_bytes())


def test_digests_and_numbers_are_what_they_say(t):
    """Against the recorded values of another implementation, and Python's own SHA-256."""
    t.tiny()
    prompt = "What is 2+2?"
    canary = made(t, "tiny.apr", "--prompt", prompt)
    t.ok("trace", "tiny.apr", "--prompt", prompt, "--export", "x", "--greedy", "1")
    golden = json.loads(t.path("x/golden.json").read_text())["prompts"][0]
    (recorded,) = canary["prompts"]
    t.equal(recorded["ids"], golden["ids"])
    t.equal(recorded["top"], golden["top10_ids"])
    t.equal(recorded["top_values"], golden["top10_logits"])
    import struct
    data = t.path("x/golden.safetensors").read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    begin, end = json.loads(data[8:8 + size])["prompt.logits_all"]["data_offsets"]
    t.equal(recorded["sha256"], hashlib.sha256(data[8 + size + begin:8 + size + end]).hexdigest())
    source = (framework.BUNDLED / "model.safetensors").read_bytes()
    (size,) = struct.unpack_from("<Q", source)
    header = json.loads(source[8:8 + size])
    for tensor in canary["tensors"]:
        begin, end = header[tensor["name"]]["data_offsets"]
        t.equal(tensor["sha256"], hashlib.sha256(source[8 + size + begin:8 + size + end]).hexdigest(), tensor["name"])


def test_one_weight_of_any_tensor(t):
    """The least change there is, in every tensor in turn."""
    tensors = checkpoints.weights()
    source = checkpoints.write_folder(t.path("a"), tensors)
    made(t, source)
    check(t, source)
    path = source / "model.safetensors"
    whole = path.read_bytes()
    import struct
    (size,) = struct.unpack_from("<Q", whole)
    for name, entry in json.loads(whole[8:8 + size]).items():
        data = bytearray(whole)
        data[8 + size + (entry["data_offsets"][1] - 4) // 4 * 4] ^= 1  # last bit of the last number
        path.write_bytes(data)
        report = check(t, source, code=5)
        t.equal([f["name"] for f in report["findings"] if f["part"] == "tensor"], [name])
        t.equal(report["tensors_changed"], 1)


def test_a_large_change_shows_in_the_logits_too(t):
    def change(floats):
        floats[:64] = [x + 3 for x in floats[:64]]
    a, b = changed(t, "model.layers.0.self_attn.v_proj.weight", change)
    made(t, a)
    report = check(t, b, code=5)
    t.equal((report["tensors_changed"], report["prompts_failed"]), (1, 5))
    t.check(report["max_difference"] > 1e-3, report["max_difference"])
    run = t.run("canary", "check", b, "c.json", code=5)
    t.contains(run.out, "not as recorded: 1 of 26 tensors, 5 of 5 prompts", "v_proj.weight has other weights")


def test_another_instruction_set_or_backend_gives_the_numbers(t):
    t.tiny()
    made(t)
    for words, env in [(["--backend", "reference"], {}), ([], {"APR_CPU": "scalar"})]:
        report = t.json("canary", "check", "tiny.apr", "c.json", *words, env=env)
        t.check(report["passed"] and report["max_difference"] < 1e-3, report["max_difference"])


def test_a_quantized_descendant(t):
    t.tiny()
    made(t)
    for scheme in ["int8", "int4"]:
        t.ok("convert", "tiny.apr", "--quantize", scheme, "-o", f"{scheme}.apr")
        report = check(t, f"{scheme}.apr", code=5)
        t.equal(report["tensors_changed"], 29, "tensors in other types, unasked")
        report = check(t, f"{scheme}.apr", "--type-aware")
        t.equal((report["failures"], report["tensors_retyped"]), (0, 29), scheme)
        t.check(report["max_difference"] > 0, "quantizing changed nothing")
    t.contains(t.run("canary", "check", "int8.apr", "c.json", code=5).out, "--type-aware")
    # int4 is no int8: its noise is beyond a tolerance that int8 keeps
    limit = check(t, "int8.apr", "--type-aware")["max_difference"] * 1.1
    check(t, "int8.apr", "--type-aware", "--tolerance", str(limit))
    t.check(check(t, "int4.apr", "--type-aware", "--tolerance", str(limit), code=5)["prompts_failed"] > 0, "int4")


def test_a_broken_descendant(t):
    """Swapped nibbles in one matrix; a changed norm, which no scheme touches."""
    t.tiny()
    made(t)
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "q.apr")
    whole = t.path("q.apr").read_bytes()
    index = checkpoints.apr_index(whole)
    _, _, offset, size = index["model.layers.1.mlp.down_proj.weight"]
    data = bytearray(whole)
    for at in range(offset, offset + size, 18):
        for i in range(at + 2, at + 18):
            data[i] = data[i] >> 4 | (data[i] & 15) << 4
    t.path("q.apr").write_bytes(data)
    report = check(t, "q.apr", "--type-aware", code=5)
    t.check(report["prompts_failed"] > 0, "swapped nibbles pass")
    _, _, offset, size = index["model.layers.1.input_layernorm.weight"]
    data = bytearray(whole)
    data[offset] ^= 1
    t.path("q.apr").write_bytes(data)
    report = check(t, "q.apr", "--type-aware", code=5)
    t.equal([f["name"] for f in report["findings"]], ["model.layers.1.input_layernorm.weight"])


def test_other_ids(t):
    a = checkpoints.write_folder(t.path("a"))
    made(t, a)
    tokenizer = checkpoints.tokenizer_json()
    vocab = tokenizer["model"]["vocab"]
    vocab["H"], vocab["W"] = vocab["W"], vocab["H"]
    (a / "tokenizer.json").write_text(json.dumps(tokenizer))
    report = check(t, a, code=5)
    t.equal({f["part"] for f in report["findings"]}, {"tokenizer"})
    t.equal([f["name"] for f in report["findings"]], ["", '"Hello"', '"What is 2+2?"'])
    (a / "tokenizer.json").unlink()
    t.equal(check(t, a, code=5)["findings"][0]["problem"], "is missing")


def test_without_a_tokenizer(t):
    a = checkpoints.write_folder(t.path("a"), tokenizer=False)
    canary = made(t, a)
    t.equal([len(p["ids"]) for p in canary["prompts"]], [1, 8, 24])
    t.check(all(p["text"] is None for p in canary["prompts"]), "texts")
    check(t, a)


def test_missing_new_and_misshapen_tensors(t):
    tensors = checkpoints.weights()
    a = checkpoints.write_folder(t.path("a"), tensors)
    made(t, a)
    canary = json.loads(t.path("c.json").read_text())
    canary["tensors"][0]["name"] = "was.there"
    canary["tensors"][1]["shape"] = [1]
    t.path("c.json").write_text(json.dumps(canary))
    problems = {f["name"]: f["problem"] for f in check(t, a, code=5)["findings"]}
    t.equal(problems["was.there"], "is missing")
    t.equal(problems["model.embed_tokens.weight"], "is new")
    t.equal(len(problems), 3)


def test_a_smaller_model_of_the_same_kind(t):
    """Its vocabulary has no place for the recorded ids: another model, not a broken canary."""
    t.tiny()
    made(t)
    report = check(t, checkpoints.write_folder(t.path("small")), code=5)
    t.check(any("not in the vocabulary of 320" in f["problem"] for f in report["findings"]), report["findings"][-1])


def test_another_model(t):
    t.tiny()
    made(t)
    report = check(t, framework.shared("arch/tiny-gpt2"), code=5)
    t.contains(json.dumps(report["findings"]), "another model")


def test_models_that_predict_no_tokens(t):
    whisper = framework.shared("arch/tiny-whisper")
    canary = made(t, whisper)
    t.equal((canary["kind"], canary["frames"]), ("logits", 64))
    check(t, whisper)
    check(t, whisper, "--backend", "reference")


def test_hidden_states_of_an_encoder(t):
    bert = framework.shared("arch/tiny-bert")
    canary = made(t, bert)
    t.equal(canary["kind"], "hidden_states")
    check(t, bert)
    check(t, bert, "--backend", "reference")


def changed_source(t, change):
    """The bundled model, imported from a folder of which change(folder) changed something."""
    import shutil
    shutil.rmtree(t.path("src"), ignore_errors=True)
    folder = checkpoints.copy_bundled(t.path("src"))
    change(folder)
    t.ok("import", folder, "-o", "changed.apr", "--force", "--name", "apr-tiny-chat")
    return t.json("canary", "check", "changed.apr", "c.json", code=None)


def rewritten(name, change):
    def apply(folder):
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))
    return apply


def test_what_no_prompt_shows(t):
    """The config, the tokenizer and the template may change without one of the prompts moving."""
    t.tiny()
    made(t)
    t.equal(changed_source(t, lambda folder: None)["passed"], True)
    vocabulary = json.loads((framework.BUNDLED / "tokenizer.json").read_text())["model"]["vocab"]
    unused = [token for token in vocabulary if len(token) > 5][-2:]

    def swap(content):
        table = content["model"]["vocab"]
        table[unused[0]], table[unused[1]] = table[unused[1]], table[unused[0]]

    for name, change, part in [
            ("config.json", lambda c: c.update(max_position_embeddings=1023), "config"),
            ("config.json", lambda c: c.update(eos_token_id=7), "config"),
            ("generation_config.json", lambda c: c.update(eos_token_id=7), "settings"),
            ("tokenizer.json", swap, "tokenizer"),
            ("tokenizer.json", lambda c: c.update(normalizer={"type": "NFC"} if c["normalizer"] is None else None),
             "tokenizer"),
            ("tokenizer_config.json", lambda c: c.update(chat_template="{{ messages[0].content }}"), "template")]:
        report = changed_source(t, rewritten(name, change))
        t.equal((report["passed"], report["tensors_changed"]), (False, 0), name)
        t.check(part in [finding["part"] for finding in report["findings"]], f"{name}: {report['findings']}")
        run = t.run("canary", "check", "changed.apr", "c.json", code=5)
        t.contains(run.out, f"  {part} ")
        t.lacks(run.out.splitlines()[0], "0 settings")
    for field in ["transformers_version", "torch_dtype"]:  # who wrote it, not what it computes
        t.equal(changed_source(t, rewritten("config.json", lambda c: c.update({field: "float64"})))["passed"], True)


def test_a_canary_from_before_the_settings_were_kept(t):
    t.tiny()
    canary = made(t)
    del canary["setup"]
    t.path("c.json").write_text(json.dumps(dict(canary, version=1)))
    t.equal(check(t, "tiny.apr")["passed"], True)


def test_prompts_from_a_file(t):
    t.tiny()
    t.path("p.txt").write_text("One\r\n\nTwo, three\n")
    t.equal([p["text"] for p in made(t, "tiny.apr", "--prompts", "p.txt")["prompts"]], ["One", "Two, three"])
    t.path("p.txt").write_text("\n\n")
    t.fails(4, "canary", "create", "tiny.apr", "-o", "d.json", "--prompts", "p.txt", says="no prompt")


def test_files_that_are_no_canary(t):
    t.tiny()
    canary = made(t)
    for text, says in [("{}", "canary"), ("[1]", "canary"), ("nonsense", "c.json"),
                       (json.dumps(dict(canary, version=3)), "this version"),
                       (json.dumps(dict(canary, prompts=[])), "prompts"),
                       (json.dumps(dict(canary, setup=None)), "setup"),
                       (json.dumps(dict(canary, setup=dict(canary["setup"], config=1))), "setup.config"),
                       (json.dumps(dict(canary, setup=dict(canary["setup"], tokenizer={"ids": 3}))), "vocabulary_sha256"),
                       (json.dumps(dict(canary, tensors=canary["tensors"][1:])), "tensors"),
                       (json.dumps(dict(canary, prompts=[dict(canary["prompts"][0], sample=[])])), "sample"),
                       (json.dumps(dict(canary, prompts=[dict(canary["prompts"][0], sha256="x")])), "sha256"),
                       (json.dumps(dict(canary, prompts=[dict(canary["prompts"][0], ids=[99999], row_rms=[1.0])])),
                        "99999")]:
        t.path("c.json").write_text(text)
        t.fails(4, "canary", "check", "tiny.apr", "c.json", says=says)
    t.fails(3, "canary", "check", "tiny.apr", "none.json", says="none.json")


def test_damage_and_overwriting(t):
    data = bytearray(t.tiny().read_bytes())
    t.ok("canary", "create", "tiny.apr", "-o", "c.json")
    t.fails(5, "canary", "create", "tiny.apr", "-o", "c.json", hint="--force")
    _, _, offset, size = checkpoints.apr_index(bytes(data))["model.norm.weight"]
    data[offset] ^= 1
    t.path("tiny.apr").write_bytes(data)
    t.fails(4, "canary", "create", "tiny.apr", "-o", "d.json", says="model.norm.weight")


framework.main(globals())
