"""apr embeddings: the reference's vectors, an independent implementation's, and every way in and out."""
import json
import math
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import time

import checkpoints
import faults
import framework

try:
    import numpy
except ImportError:
    numpy = None

TEXTS = ["A cat sleeps.", "A dog sleeps.", "Taxes are due.", "", "What is the capital of France?"]


def bert_folder():
    return framework.shared("arch") / "tiny-bert"


def golden():
    return json.loads((bert_folder() / "golden" / "golden.json").read_text())


def golden_values(name):
    checkpoint = faults.Checkpoint(bert_folder() / "golden" / "golden.safetensors")
    begin, end = checkpoint.header[name]["data_offsets"]
    return list(struct.unpack(f"<{(end - begin) // 4}f", bytes(checkpoint.data[begin:end])))


def bert(t, name="bert.apr"):
    t.ok("import", bert_folder(), "-o", name)
    return name


def lines(run):
    return [json.loads(line) for line in run.out.splitlines()]


def vectors(report):
    return [e["vector"] for e in report["embeddings"]]


def furthest(a, b):
    if len(a) != len(b):
        return math.inf
    return max((abs(x - y) for x, y in zip(a, b)), default=0)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(x * x for x in b))


def read_npy(path):
    """(shape, rows), by NumPy where it is there and by hand anyhow."""
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    (size,) = struct.unpack_from("<H", data, 8)
    assert (10 + size) % 64 == 0 and data[9 + size:10 + size] == b"\n"
    header = eval(data[10:10 + size], {"__builtins__": {}})  # the format says it is a Python literal
    assert header["descr"] == "<f4" and header["fortran_order"] is False, header
    n, dim = header["shape"]
    assert len(data) == 10 + size + 4 * n * dim
    rows = [list(struct.unpack_from(f"<{dim}f", data, 10 + size + 4 * dim * i)) for i in range(n)]
    if numpy is not None:
        array = numpy.load(path)
        assert array.dtype == numpy.float32 and array.shape == (n, dim) and array.tolist() == rows
    return (n, dim), rows


def float32(number):
    return struct.unpack("<f", struct.pack("<f", number))[0]


def test_the_references_embeddings_come_from_its_texts(t):
    model, reference = bert(t), golden()
    texts, wanted, pooler = [], [], []
    for prompt in reference["prompts"]:
        sentences = golden_values(f"{prompt['name']}.sentence_embedding")
        poolers = golden_values(f"{prompt['name']}.pooler_output")
        for i, row in enumerate(prompt["texts"]):
            texts.append({"text": row[0]} | ({"text_pair": row[1]} if len(row) > 1 else {}))
            wanted.append(sentences[128 * i:128 * i + 128])
            pooler.append(poolers[128 * i:128 * i + 128])
    t.path("texts.jsonl").write_text("".join(json.dumps(x) + "\n" for x in texts))
    for source in [model, bert_folder()]:
        for words in [[], ["--mode", "exact"], ["--mode", "fast"], ["--backend", "reference"], ["--threads", "3"]]:
            report = t.json("embeddings", source, "--input", "texts.jsonl", "--similarity", *words)
            t.equal([report["pooling"], report["normalized"], report["dimension"], report["recipe"]],
                    ["mean", True, 128, "modules.json"])
            for got, reference_vector in zip(vectors(report), wanted, strict=True):
                t.check(furthest(got, reference_vector) <= 2e-5, f"{words}: not the reference's")
            for row, expected in zip(report["similarity"], reference["cosine_similarity"]["values"], strict=True):
                t.check(furthest(row, expected) <= 1e-5, f"{words}: cosines {row}, wanted {expected}")
    report = t.json("embeddings", model, "--input", "texts.jsonl", "--pooling", "pooler", "--no-normalize")
    for got, expected in zip(vectors(report), pooler, strict=True):
        t.check(furthest(got, expected) <= 5e-5, "the pooler's output is not the reference's")


def test_one_text_and_many_give_the_same_digits(t):
    model = bert(t)
    generator = random.Random(5)
    words = "the cat dog sleeps capital of France why tax rain 7 hello wörld 中文".split()
    texts = [" ".join(generator.choices(words, k=generator.randrange(0, 60))) for _ in range(80)]
    t.path("texts.txt").write_text("\n".join(texts) + "\n")
    for mode in ["exact", "deterministic"]:
        plain = t.ok("embeddings", model, "--input", "texts.txt", "--mode", mode)
        t.equal(len(plain.out.splitlines()), 80)
        for i in [0, 17, 79]:
            t.equal(t.ok("embeddings", model, texts[i], "--mode", mode).out.strip(), plain.out.splitlines()[i])
        for more in [["--batch-tokens", "1"], ["--batch-tokens", "200"], ["--batch-tokens", "100000"],
                     ["--threads", "1"], ["--threads", "4"]]:
            t.equal(t.ok("embeddings", model, "--input", "texts.txt", "--mode", mode, *more).out, plain.out, more)
        t.equal(t.ok("embeddings", model, "-", "--mode", mode, stdin="\n".join(texts)).out, plain.out, "standard input")


def test_every_way_out_says_the_same(t):
    model = bert(t)
    text = "\n".join(TEXTS) + "\n"
    plain = lines(t.ok("embeddings", model, stdin=text))
    report = t.json("embeddings", model, stdin=text)
    t.equal(vectors(report), plain)
    t.equal(report["texts"], 5)
    t.equal(report["tokens"], sum(e["tokens"] for e in report["embeddings"]))
    t.equal([e["tokens"] for e in report["embeddings"]][3:], [2, 11])
    t.ok("embeddings", model, "--npy", "v.npy", stdin=text)
    shape, rows = read_npy(t.path("v.npy"))
    t.equal(shape, (5, 128))
    t.equal(rows, [[float32(x) for x in row] for row in plain])
    for row in rows:
        t.check(abs(math.sqrt(sum(x * x for x in row)) - 1) < 1e-6, "not of length 1")
    t.contains(t.ok("embeddings", model, "-o", "w.npy", *TEXTS).out, "w.npy", "5 vectors of 128 numbers", "mean")
    t.equal(t.path("w.npy").read_bytes(), t.path("v.npy").read_bytes(), "the arrays")
    report = t.json("embeddings", model, "-o", "x.npy", *TEXTS)
    t.equal(report["npy"], "x.npy")
    t.check("embeddings" not in report or not report["embeddings"], "vectors twice")
    table = t.ok("embeddings", model, *TEXTS[:3], "--similarity").out
    t.contains(table, "A cat sleeps.", "1.0000")
    t.contains(table, f"{cosine(plain[0], plain[2]):.4f}")
    t.check("[" not in table, "vectors in the table")
    # Nothing in, nothing out.
    t.equal(t.ok("embeddings", model, stdin="").out, "")
    t.ok("embeddings", model, "-o", "none.npy", stdin="")
    t.equal(read_npy(t.path("none.npy")), ((0, 128), []))


def test_lines_keep_their_places(t):
    model = bert(t)
    whole = t.ok("embeddings", model, stdin="a cat\r\n\r\n\nlast").out.splitlines()
    t.equal(len(whole), 4)
    t.equal(whole[1], whole[2])
    t.equal(whole[0], t.ok("embeddings", model, "a cat").out.strip())
    t.equal(whole[1], t.ok("embeddings", model, "").out.strip())
    t.ok("embeddings", model, stdin=b"\xff\xfe\x00 caf\xc3\n\xf0\x9f\x98\x80\n")
    objects = '{"text": "a cat", "id": 7}\n{"text": ""}\n'
    t.equal(t.ok("embeddings", model, "--jsonl", stdin=objects).out.splitlines(), [whole[0], whole[1]])
    for bad, says in [('{"text": 1}', 'field "text"'), ("[]", 'field "text"'), ("{", "standard input:2"),
                      ("", "standard input:2"), ('{"text": "a", "text_pair": 3}', "text_pair")]:
        t.fails(4, "embeddings", model, "--jsonl", stdin=objects.splitlines()[0] + "\n" + bad + "\n",
                says=["standard input:2", says])


def test_what_does_not_fit_is_cut_and_told(t):
    model = bert(t)
    long = "the cat " * 100
    run = t.ok("embeddings", model, "a", long, "b", long + "x")
    t.contains(run.err, "2 of 4 texts were cut to the 128 tokens that fit",
               "sentence_bert_config.json: field max_seq_length", "the first is text 2 with 202 tokens")
    t.equal(lines(run)[1], lines(run)[3])
    report = t.json("embeddings", model, "a", long)
    t.equal(report["truncated"], 1)
    t.equal([(e["tokens"], e["left_out"]) for e in report["embeddings"]], [(3, 0), (128, 74)])
    run = t.ok("embeddings", model, "the cat the cat", "--max-length", "4")
    t.contains(run.err, "--max-length")
    t.equal(run.out, t.ok("embeddings", model, "the cat").out)
    t.equal(t.ok("embeddings", model, "--quiet", long).err, "")
    t.fails(2, "embeddings", model, "a", "--max-length", "2", says="no room")
    t.fails(2, "embeddings", model, "a", "--max-length", "129", says=["129", "128"])


def test_the_folder_decides_and_the_user_overrides(t):
    folder = faults.copy_model(t.path("model"), bert_folder())
    shutil.copytree(bert_folder() / "1_Pooling", folder / "1_Pooling", dirs_exist_ok=True)
    pooling = folder / "1_Pooling" / "config.json"
    modes = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "mean_sqrt_len": "mean_sqrt_len_tokens",
             "weightedmean": "weightedmean_tokens", "lasttoken": "lasttoken"}
    faults.edit_json(folder / "modules.json", lambda modules: modules.pop())
    for name, field in modes.items():
        pooling.write_text(json.dumps({"word_embedding_dimension": 128, f"pooling_mode_{field}": True}))
        report = t.json("embeddings", folder, *TEXTS)
        t.equal([report["pooling"], report["normalized"]], [name, False])
        asked = t.json("embeddings", bert_folder(), *TEXTS, "--pooling", name, "--no-normalize")
        t.equal(vectors(report), vectors(asked))
        t.equal(vectors(t.json("embeddings", folder, *TEXTS, "--normalize")),
                vectors(t.json("embeddings", bert_folder(), *TEXTS, "--pooling", name)))
    pooling.write_text(json.dumps({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}))
    t.equal(t.json("embeddings", folder, "a")["dimension"], 256)
    # Without the files, bert gives the normalized mean; with a module that is not known, an error.
    (folder / "modules.json").unlink()
    report = t.json("embeddings", folder, *TEXTS)
    t.equal(report["recipe"], "default")
    t.equal(vectors(report), vectors(t.json("embeddings", bert_folder(), *TEXTS)))
    shutil.copyfile(bert_folder() / "modules.json", folder / "modules.json")
    faults.edit_json(folder / "modules.json",
                     lambda modules: modules[2].update(type="sentence_transformers.models.Dense", path="2_Dense"))
    t.fails(9, "embeddings", folder, "a", says=["modules.json", "module 2", "Dense"])
    shutil.copyfile(bert_folder() / "modules.json", folder / "modules.json")
    pooling.unlink()
    t.fails(6, "embeddings", folder, "a", says="1_Pooling/config.json is missing", hint="--pooling")
    t.ok("embeddings", folder, "a", "--pooling", "cls")


def test_prompts_are_put_before_the_texts(t):
    folder = faults.copy_model(t.path("model"), bert_folder())
    shutil.copytree(bert_folder() / "1_Pooling", folder / "1_Pooling", dirs_exist_ok=True)
    prompts = folder / "config_sentence_transformers.json"
    prompts.write_text(json.dumps({"prompts": {"query": "what is ", "none": ""}, "default_prompt_name": None}))
    plain = t.ok("embeddings", folder, "the cat").out
    asked = t.ok("embeddings", folder, "what is the cat").out
    t.check(plain != asked, "the prompt makes no difference")
    t.equal(t.ok("embeddings", folder, "the cat", "--prompt-name", "query").out, asked)
    t.equal(t.ok("embeddings", folder, "the cat", "--prompt", "what is ").out, asked)
    t.equal(t.ok("embeddings", folder, "the cat", "--prompt-name", "none").out, plain)
    prompts.write_text(json.dumps({"prompts": {"query": "what is "}, "default_prompt_name": "query"}))
    t.equal(t.ok("embeddings", folder, "the cat").out, asked)
    t.equal(t.json("embeddings", folder, "the cat")["prompt"], "what is ")
    t.equal(t.ok("embeddings", folder, "the cat", "--prompt", "").out, plain)
    t.fails(2, "embeddings", folder, "a", "--prompt-name", "quest", says="no prompt named 'quest'", hint="query")
    t.fails(2, "embeddings", bert_folder(), "a", "--prompt-name", "query", says="no prompt", hint="--prompt")
    t.fails(2, "embeddings", folder, "a", "--prompt", "x", "--prompt-name", "query", says="exclude")
    t.fails(2, "embeddings", folder, "a", "--prompt", "the cat " * 64, says="no room")
    # A prompt that is not pooled still changes what the other tokens see.
    pooling = json.loads((bert_folder() / "1_Pooling" / "config.json").read_text()) | {"include_prompt": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    left_out = t.ok("embeddings", folder, "the cat").out
    t.check(left_out not in (asked, plain), "include_prompt makes no difference")


def test_quantized_models_mean_nearly_the_same(t):
    model = bert(t)
    exact = vectors(t.json("embeddings", model, *TEXTS))
    for scheme, least in [("int8", 0.999), ("int4", 0.95)]:
        t.ok("convert", model, "--quantize", scheme, "-o", f"{scheme}.apr")
        report = t.json("embeddings", f"{scheme}.apr", *TEXTS)
        t.equal(report["recipe"], "modules.json")
        worst = min(cosine(a, b) for a, b in zip(vectors(report), exact, strict=True))
        t.check(worst > least, f"{scheme}: cosine {worst}")


def test_export_gives_the_folder_back(t):
    model = bert(t)
    t.ok("export", model, "--format", "safetensors", "-o", "back")
    for name in ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "tokenizer.json"]:
        t.equal((t.path("back") / name).read_bytes(), (bert_folder() / name).read_bytes(), name)
    t.equal(t.ok("embeddings", "back", *TEXTS).out, t.ok("embeddings", model, *TEXTS).out)
    t.ok("export", model, "--format", "safetensors", "-o", "back", "--force")
    (t.path("back") / "1_Pooling" / "mine.txt").write_text("precious")
    t.fails(5, "export", model, "--format", "safetensors", "-o", "back", "--force", says="1_Pooling/mine.txt")
    t.equal((t.path("back") / "1_Pooling" / "mine.txt").read_text(), "precious")
    t.ok("validate", model)


def test_models_that_predict_tokens_have_embeddings_too(t):
    model = t.tiny()
    report = t.json("embeddings", model, "Hello", "What is 2+2?")
    t.equal([report["pooling"], report["recipe"], report["normalized"]], ["lasttoken", "default", True])
    alone = t.json("embeddings", model, "What is 2+2?")
    t.equal(vectors(alone)[0], vectors(report)[1])
    traced = t.json("trace", model, "--prompt", "What is 2+2?", "--nodes", "final_norm", "--export", "trace",
                    "--mode", "deterministic")
    checkpoint = faults.Checkpoint(t.path("trace") / "golden.safetensors")
    (name,) = [n for n in checkpoint.header if n.endswith("final_norm")]
    begin, end = checkpoint.header[name]["data_offsets"]
    dim = report["dimension"]
    last = struct.unpack(f"<{dim}f", bytes(checkpoint.data[end - 4 * dim:end]))
    got = vectors(t.json("embeddings", model, "What is 2+2?", "--no-normalize"))[0]
    t.check(furthest(got, last) < 1e-6, "not the trace's last row")
    long = "One two three four. " * 30
    whole = t.ok("embeddings", model, long, "--pooling", "mean").out
    t.equal(t.ok("embeddings", model, long, "--pooling", "mean", "--batch-tokens", "7").out, whole)
    t.fails(9, "embeddings", model, "a", "--pooling", "pooler", says="no pooler of its own")
    t.fails(5, "embeddings", model, "a", "", says=["text 2", "no tokens"])
    t.fails(9, "embeddings", framework.shared("arch") / "tiny-whisper", "a", says="no embeddings of text")


def test_wrong_usage_is_said_before_any_work(t):
    model = bert(t)
    t.path("texts.txt").write_text("a\n")
    t.path("v.npy").write_text("mine")
    t.fails(5, "embeddings", model, "a", "--npy", "v.npy", says="v.npy")
    t.equal(t.path("v.npy").read_text(), "mine")
    t.ok("embeddings", model, "a", "--npy", "v.npy", "--force")
    t.fails(3, "embeddings", model, "--input", "no.txt", says="no.txt")
    t.fails(3, "embeddings", model, "--input", t.folder, says="folder")
    t.fails(2, "embeddings", model, "a", "--input", "texts.txt", says="--input")
    t.fails(2, "embeddings", model, "a", "-", says="stands alone")
    t.fails(2, "embeddings", model, "a", "--normalize", "--no-normalize", says="exclude each other")
    t.fails(2, "embeddings", model, "a", "--pooling", "middle", says="middle")
    t.fails(2, "embeddings", model, "--similarity", stdin="a\n" * 101, says="100", hint="--npy")
    run = t.run("embeddings", model, "--json", stdin="x\n" * 33000, code=2)
    t.contains(run.out + run.err, "too many texts for one JSON document", "--npy")
    folder = faults.copy_model(t.path("bare"), bert_folder())
    shutil.copytree(bert_folder() / "1_Pooling", folder / "1_Pooling")
    for name in ["tokenizer.json", "vocab.txt"]:
        (folder / name).unlink()
    t.fails(6, "embeddings", folder, "a", says="no tokenizer")


def test_ctrl_c_leaves_nothing_behind(t):
    model = bert(t)
    process = subprocess.Popen([framework.PROGRAM, "embeddings", model, "--npy", "v.npy"], cwd=t.folder,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"a cat sleeps\n" * 3000)
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while len(t.files()) < 2 and time.monotonic() < deadline:  # its temporary file
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    t.equal(process.returncode, 130, err)
    t.equal(t.files(), ["bert.apr"])


def test_many_texts_take_little_memory(t):
    if os.environ.get("APR_SANITIZE"):
        raise framework.Skip("a sanitizer keeps freed memory back")
    model = bert(t)
    peaks = {}
    for count in [2000, 12000]:
        with open(t.path("texts.txt"), "w") as file:
            for i in range(count):
                file.write(f"a cat {i % 97} sleeps on the mat number {i}\n")
        run = t.ok("embeddings", model, "--input", "texts.txt", "--npy", "v.npy", "--force", "--verbose")
        t.equal(read_npy(t.path("v.npy"))[0], (count, 128))
        unit = {"MB": 1, "GB": 1000}
        value, name = run.err.split("peak memory ")[1].split()[:2]
        peaks[count] = float(value) * unit[name]
    t.check(peaks[12000] < peaks[2000] + 12, f"peak memory in MB: {peaks}")


# --- an independent implementation ---

HIDDEN, LAYERS, HEADS, FEED, POSITIONS = 30, 2, 3, 47, 40
WORDS = "red green blue fish bird tree runs swims flies over under".split()
VOCABULARY = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", *WORDS]


def small_bert(folder, seed):
    """A checkpoint of random weights; name -> array."""
    generator = numpy.random.default_rng(seed)
    weights = {}

    def add(name, *shape, scale=0.3, middle=0.0):
        weights[name] = (middle + scale * generator.standard_normal(shape)).astype(numpy.float32)

    def norm(name):
        add(name + ".weight", HIDDEN, middle=1.0)
        add(name + ".bias", HIDDEN)

    def linear(name, out, size):
        add(name + ".weight", out, size)
        add(name + ".bias", out)

    add("embeddings.word_embeddings.weight", len(VOCABULARY), HIDDEN, scale=1.0)
    add("embeddings.position_embeddings.weight", POSITIONS, HIDDEN)
    add("embeddings.token_type_embeddings.weight", 2, HIDDEN)
    norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        p = f"encoder.layer.{layer}."
        for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]:
            linear(p + name, HIDDEN, HIDDEN)
        norm(p + "attention.output.LayerNorm")
        linear(p + "intermediate.dense", FEED, HIDDEN)
        linear(p + "output.dense", HIDDEN, FEED)
        norm(p + "output.LayerNorm")
    linear("pooler.dense", HIDDEN, HIDDEN)
    folder.mkdir()
    checkpoints.write_safetensors(folder / "model.safetensors",
                                  {n: (list(w.shape), w.ravel().tolist()) for n, w in weights.items()})
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": len(VOCABULARY), "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": FEED, "hidden_act": "gelu",
        "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "layer_norm_eps": 1e-6}))
    (folder / "vocab.txt").write_text("".join(word + "\n" for word in VOCABULARY))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": POSITIONS}))
    return {name: weight.astype(numpy.float64) for name, weight in weights.items()}


def numpy_bert(w, ids, types):
    """Last hidden states of one text, in float64."""
    def linear(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def norm(x, name):
        middle = x.mean(-1, keepdims=True)
        spread = ((x - middle) ** 2).mean(-1, keepdims=True)
        return (x - middle) / numpy.sqrt(spread + 1e-6) * w[name + ".weight"] + w[name + ".bias"]

    erf = numpy.vectorize(math.erf)
    x = (w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][types]
         + w["embeddings.position_embeddings.weight"][:len(ids)])
    x = norm(x, "embeddings.LayerNorm")
    size = HIDDEN // HEADS
    for layer in range(LAYERS):
        p = f"encoder.layer.{layer}."
        q, k, v = (linear(x, p + "attention.self." + n).reshape(len(ids), HEADS, size).transpose(1, 0, 2)
                   for n in ["query", "key", "value"])
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(size)
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        mixed = mixed.transpose(1, 0, 2).reshape(len(ids), HIDDEN)
        x = norm(x + linear(mixed, p + "attention.output.dense"), p + "attention.output.LayerNorm")
        inner = linear(x, p + "intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        x = norm(x + linear(inner, p + "output.dense"), p + "output.LayerNorm")
    return x


def numpy_pooled(w, hidden, pooling):
    n = len(hidden)
    places = numpy.arange(1, n + 1)[:, None]
    if pooling == "pooler":
        return numpy.tanh(hidden[0] @ w["pooler.dense.weight"].T + w["pooler.dense.bias"])
    return {"cls": hidden[0], "lasttoken": hidden[-1], "max": hidden.max(0), "mean": hidden.sum(0) / n,
            "mean_sqrt_len": hidden.sum(0) / math.sqrt(n),
            "weightedmean": (hidden * places).sum(0) / places.sum()}[pooling]


def test_another_implementation_agrees_on_a_model_of_odd_sizes(t):
    if numpy is None:
        raise framework.Skip("python3-numpy is not there")
    generator = random.Random(9)
    w = small_bert(t.path("small"), 3)
    t.ok("import", t.path("small"), "-o", "small.apr")
    texts = [[], ["fish"]] + [generator.choices(WORDS, k=generator.randrange(1, 36)) for _ in range(12)]
    pairs = [[]] * 7 + [generator.choices(WORDS, k=generator.randrange(1, 9)) for _ in range(7)]
    with open(t.path("texts.jsonl"), "w") as file:
        for text, pair in zip(texts, pairs):
            line = {"text": " ".join(text).title()} | ({"text_pair": " ".join(pair)} if pair else {})
            file.write(json.dumps(line) + "\n")
    hidden, cut = [], 0
    for text, pair in zip(texts, pairs):
        a, b = list(text), list(pair)
        while pair and len(a) + len(b) + 3 > POSITIONS:  # b is never the longer one here
            a.pop()
            cut += 1
        ids = [1, *map(VOCABULARY.index, a), 2] + ([*map(VOCABULARY.index, b), 2] if pair else [])
        types = [0] * (len(a) + 2) + ([1] * (len(b) + 1) if pair else [])
        hidden.append(numpy_bert(w, numpy.array(ids), numpy.array(types)))
    for pooling in ["cls", "lasttoken", "max", "mean", "mean_sqrt_len", "weightedmean", "pooler"]:
        for model in ["small.apr", t.path("small")]:
            for words in [[], ["--backend", "reference"]]:
                report = t.json("embeddings", model, "--input", "texts.jsonl", "--pooling", pooling, "--no-normalize",
                                *words)
                for h, got in zip(hidden, vectors(report), strict=True):
                    off = numpy.abs(numpy_pooled(w, h, pooling) - numpy.array(got)).max()
                    t.check(off < 2e-5, f"{pooling}: {off}")
        t.equal(sum(e["left_out"] for e in report["embeddings"]), cut)
    unit = vectors(t.json("embeddings", "small.apr", "--input", "texts.jsonl"))
    for h, got in zip(hidden, unit, strict=True):
        mean = numpy_pooled(w, h, "mean")
        t.check(numpy.abs(mean / numpy.linalg.norm(mean) - numpy.array(got)).max() < 1e-6, "normalized")


framework.main(globals())
