"""apr eval against the same figures computed here, in Python, from traced logits."""
import json
import math
import statistics
import struct

import framework

EVAL = framework.BUNDLED / "golden" / "eval.txt"
VOCABULARY = 2048


def logits_of(t, model, ids, mode="deterministic"):
    """The model's logits after every id, as `apr trace` records them."""
    t.ok("trace", model, "--ids", ",".join(map(str, ids)), "--nodes", "embed", "--mode", mode, "--export", "trace", "--force")
    data = t.path("trace/golden.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    begin, end = json.loads(data[8:8 + size])["prompt.logits_all"]["data_offsets"]
    numbers = struct.unpack(f"<{(end - begin) // 4}f", data[8 + size + begin:8 + size + end])
    return [numbers[i:i + VOCABULARY] for i in range(0, len(numbers), VOCABULARY)]


def log_softmax(row):
    largest = max(row)
    norm = largest + math.log(math.fsum(math.exp(x - largest) for x in row))
    return [x - norm for x in row]


def best(row, k):
    return sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]


def ids_of(t, text):
    return t.json("tokenize", "tiny.apr", text)["ids"]


def quantile(values, q):
    values = sorted(values)
    place = q * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] * (1 - (place - below)) + values[above] * (place - below)


def test_divergence_is_what_the_definitions_say(t):
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "int4", "-o", "int4.apr")
    text = EVAL.read_text()[:700]
    t.path("text.txt").write_text(text)
    ids = ids_of(t, text)
    report = t.json("eval", "int4.apr", "--dataset", "text.txt", "--against", "tiny.apr", "--window", 1000)
    t.equal(report["tokens"], len(ids))
    own = [log_softmax(row) for row in logits_of(t, "int4.apr", ids[:-1])]
    parent = [log_softmax(row) for row in logits_of(t, "tiny.apr", ids[:-1])]
    kl = [math.fsum(math.exp(p) * (p - q) for p, q in zip(a, b)) for a, b in zip(parent, own)]
    n = len(kl)
    delta = [math.exp(b[i]) - math.exp(a[i]) for a, b, i in zip(parent, own, ids[1:])]
    nll = [-row[i] for row, i in zip(own, ids[1:])]
    wanted = {
        "mean_kld": statistics.fmean(kl), "median_kld": statistics.median(kl), "max_kld": max(kl), "min_kld": min(kl),
        "p90_kld": quantile(kl, .9), "p95_kld": quantile(kl, .95), "p99_kld": quantile(kl, .99), "p99_9_kld": quantile(kl, .999),
        "mean_kld_stderr": statistics.stdev(kl) / math.sqrt(n),
        "top1_agreement": sum(best(a, 1) == best(b, 1) for a, b in zip(parent, own)) / n,
        "top5_agreement": sum(len(set(best(a, 5)) & set(best(b, 5))) for a, b in zip(parent, own)) / (5 * n),
        "rms_delta_p": math.sqrt(statistics.fmean(d * d for d in delta)),
        "perplexity": math.exp(statistics.fmean(nll)),
        "perplexity_stderr": math.exp(statistics.fmean(nll)) * statistics.stdev(nll) / math.sqrt(n),
    }
    for key, value in wanted.items():
        t.check(math.isclose(report[key], value, rel_tol=1e-4, abs_tol=1e-9), f"{key}: {report[key]}, wanted {value}")
    t.equal(report["max_kld_at"], kl.index(max(kl)) + 1)
    t.check(wanted["median_kld"] < wanted["mean_kld"], "the text shows the difference between mean and median")


def test_overlapping_windows_count_every_token_once(t):
    t.tiny()
    text = EVAL.read_text()[:420]
    t.path("text.txt").write_text(text)
    ids = ids_of(t, text)
    for window, stride in [(32, 8), (32, 31), (50, 7), (16, 1)]:
        total, counted, begin = 0.0, 0, 0
        while counted < len(ids):
            part = ids[begin:begin + window]
            rows = [log_softmax(row) for row in logits_of(t, "tiny.apr", part[:-1])]
            for i in range(max(counted, begin + 1), begin + len(part)):
                total -= rows[i - begin - 1][ids[i]]
            counted, begin = begin + len(part), begin + stride
            if window == 16 and begin > 20:
                break
        if window == 16:  # a window per token: the first are enough
            limited = t.json("eval", "tiny.apr", "--dataset", "text.txt", "--window", 16, "--stride", 1, "--limit", begin)
            t.check(math.isclose(limited["nll"], total, rel_tol=1e-6), f"{limited['nll']}, wanted {total}")
            t.equal(limited["tokens_predicted"], counted - 1)
            continue
        report = t.json("eval", "tiny.apr", "--dataset", "text.txt", "--window", window, "--stride", stride)
        t.equal((report["tokens_predicted"], report["stride"]), (len(ids) - 1, stride))
        t.check(math.isclose(report["nll"], total, rel_tol=1e-6), f"{window}/{stride}: {report['nll']}, wanted {total}")
    whole = t.json("eval", "tiny.apr", "--dataset", "text.txt", "--window", 32)
    same = t.json("eval", "tiny.apr", "--dataset", "text.txt", "--window", 32, "--stride", 32)
    t.equal(whole["windows"], same["windows"])
    t.fails(2, "eval", "tiny.apr", "--dataset", "text.txt", "--window", 32, "--stride", 33, says=["--stride 33", "32"])


QUESTIONS = [
    {"question": "What is the capital of France?", "choices": ["Paris.", "London.", "Rome is it."], "answer": 0},
    {"query": "What is 2+2?", "choices": {"text": ["3", "4", "5"], "label": ["A", "B", "C"]}, "answerKey": "B"},
    {"ctx": "Once upon a time there was ", "endings": ["a girl", "seventeen of the", "zzz"], "label": "0"},
    {"goal": "The dog is", "options": ["happy.", "Wednesday."], "gold": "happy."},
    {"input": "What is 7+5?", "choices": ["12", "13"], "answer": "A"},
]


def test_multiple_choice_is_scored_by_log_likelihood(t):
    t.tiny()
    t.path("task.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)) + "\n\n")
    report = t.json("eval", "tiny.apr", "--task", "task.jsonl")
    golds, acc, norm = [0, 1, 0, 0, 0], 0, 0
    for item, entry, gold in zip(QUESTIONS, report["items"], golds):
        question = next(item[key] for key in ["question", "query", "ctx", "goal", "input"] if key in item)
        choices = item.get("choices") or item.get("endings") or item.get("options")
        choices = choices["text"] if isinstance(choices, dict) else choices
        values = []
        for choice in choices:
            tokens = ids_of(t, question + " " + choice)
            begin = len(ids_of(t, question.rstrip()))
            rows = [log_softmax(row) for row in logits_of(t, "tiny.apr", tokens[:-1])]
            values.append(sum(rows[i - 1][tokens[i]] for i in range(begin, len(tokens))))
        t.equal(entry["gold"], gold)
        for found, wanted in zip(entry["log_likelihoods"], values):
            t.check(math.isclose(found, wanted, rel_tol=1e-5, abs_tol=1e-6), f"{question}: {found}, wanted {wanted}")
        acc += values.index(max(values)) == gold
        by_length = [value / len(choice) for value, choice in zip(values, choices)]
        norm += by_length.index(max(by_length)) == gold
    t.equal((report["acc"], report["acc_norm"]), (acc / 5, norm / 5))
    t.check(math.isclose(report["acc_stderr"], math.sqrt(acc / 5 * (1 - acc / 5) / 4)), report["acc_stderr"])
    t.equal(len(t.json("eval", "tiny.apr", "--task", "task.jsonl", "--limit", 2)["items"]), 2)
    t.check("Accuracy" in t.ok("eval", "tiny.apr", "--task", "task.jsonl").out, "the page")


def test_a_long_question_loses_its_beginning_and_says_so(t):
    t.tiny()
    long = {"question": "word " * 1500 + "What is 2+2?", "choices": ["4", "5"], "answer": 0}
    t.path("task.jsonl").write_text(json.dumps(long))
    report = t.json("eval", "tiny.apr", "--task", "task.jsonl")
    t.equal(report["cut_questions"], 1)


def test_bad_tasks_are_named_by_line_and_field(t):
    t.tiny()
    good = json.dumps(QUESTIONS[0])
    for line, says in [('{"choices": ["a", "b"], "answer": 0}', "question"), ('{"question": "x", "answer": 0}', "choices"),
                       ('{"question": "x", "choices": ["a"], "answer": 0}', "choices"),
                       ('{"question": "x", "choices": ["a", 3], "answer": 0}', "3"),
                       ('{"question": "x", "choices": ["a", "b"]}', "answer"),
                       ('{"question": "x", "choices": ["a", "b"], "answer": 2}', "none of the 2"),
                       ('{"question": "x", "choices": ["a", "b"], "answer": "C"}', "none of the 2"), ("{", "bad.jsonl:2:2")]:
        t.path("bad.jsonl").write_text(good + "\n" + line + "\n")
        t.fails(4, "eval", "tiny.apr", "--task", "bad.jsonl", says=["bad.jsonl:2:", says])
    t.path("empty.jsonl").write_text("\n")
    t.fails(5, "eval", "tiny.apr", "--task", "empty.jsonl", says="no questions")
    t.fails(2, "eval", "tiny.apr", says="--dataset")
    t.fails(2, "eval", "tiny.apr", "--task", "empty.jsonl", "--dataset", EVAL)
    t.fails(2, "eval", "tiny.apr", "--task", "empty.jsonl", "--against", "tiny.apr", says="--against")


def scored(t, *lines, words=()):
    t.path("task.jsonl").write_text("\ufeff" + "\n".join(map(json.dumps, lines)))
    return t.json("eval", "tiny.apr", "--task", "task.jsonl", *words)["items"]


def log_likelihood(t, tokens, begin):
    rows = [log_softmax(row) for row in logits_of(t, "tiny.apr", tokens[:-1])]
    return sum(rows[i - 1][tokens[i]] for i in range(begin, len(tokens)))


def test_forms_of_answers(t):
    t.tiny()
    for line, gold in [({"question": "1+1=", "choices": ["4", "2", "3"], "answer": "2"}, None),
                       ({"question": "1+1=", "choices": ["4", "3", "2"], "answer": "2"}, 2),
                       ({"question": "1+1=", "choices": ["8", "2"], "answer": "2"}, 1),
                       ({"question": "1+1=", "choices": ["4", "2", "3"], "answer": 2}, 2),
                       ({"question": "x", "choices": ["B", "A"], "answer": "A"}, None),
                       ({"question": "x", "choices": {"text": ["B", "A"], "label": ["A", "B"]}, "answerKey": "A"}, 0),
                       ({"question": "x", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "2"}, 1),
                       ({"question_stem": "x", "choices": ["a", "b"], "answer": "B"}, 1),
                       ({"goal": "x", "sol1": "a", "sol2": "b", "label": 1}, 1)]:
        t.path("task.jsonl").write_text(json.dumps(line))
        if gold is None:  # two readings
            t.fails(4, "eval", "tiny.apr", "--task", "task.jsonl", says=["task.jsonl:1:", "also names choice"])
        else:
            t.equal(scored(t, line)[0]["gold"], gold, line)


def test_a_question_without_a_text_begins_with_the_token_that_begins_texts(t):
    t.tiny()
    first = json.loads((framework.BUNDLED / "config.json").read_text())["eos_token_id"]  # the tokenizer has no BOS
    (item,) = scored(t, {"query": "", "choices": ["Once upon", "zzz"], "gold": 0}, words=["--delimiter", ""])
    for found, choice in zip(item["log_likelihoods"], ["Once upon", "zzz"]):
        wanted = log_likelihood(t, [first, *ids_of(t, choice)], 1)
        t.check(math.isclose(found, wanted, rel_tol=1e-5), f"{found}, wanted {wanted}")


def test_the_last_token_takes_no_place_in_the_context(t):
    """The harness feeds all but the last: a context of 1024 holds a question and choice of 1025."""
    t.tiny()
    question = "word " * 600 + "and"
    while len(ids_of(t, question + " 4")) < 1025:
        question = "word " + question
    t.equal(len(ids_of(t, question + " 4")), 1025)
    line = {"query": question, "choices": ["4", "5"], "gold": 0}
    t.path("task.jsonl").write_text(json.dumps(line))
    t.equal(t.json("eval", "tiny.apr", "--task", "task.jsonl")["cut_questions"], 0)
    line["query"] = "word " + question
    t.path("task.jsonl").write_text(json.dumps(line))
    t.equal(t.json("eval", "tiny.apr", "--task", "task.jsonl")["cut_questions"], 1)


def test_the_window_of_a_model_with_a_short_context(t):
    import checkpoints
    source = checkpoints.write_folder(t.path("short"))
    t.path("text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 8)
    words = ["eval", source, "--dataset", "text.txt", "--allow-synthetic"]
    t.equal(t.json(*words)["window"], checkpoints.CONFIG["max_position_embeddings"])
    t.fails(2, *words, "--window", 129, says="128")
    t.equal(t.json("eval", t.tiny(), "--dataset", "text.txt")["window"], 256)


def test_a_file_that_is_no_text(t):
    t.path("latin.txt").write_bytes("Once upon\na time in K\u00f6ln".encode("latin-1"))
    t.fails(4, "eval", t.tiny(), "--dataset", "latin.txt", says=["latin.txt", "line 2", "UTF-8", "byte 21"], hint="iconv")
    t.fails(4, "eval", "tiny.apr", "--dataset", "tiny.apr", says="UTF-8")
    t.path("two.txt").write_text("Hello there")
    t.contains(t.ok("eval", "tiny.apr", "--dataset", "two.txt").out, " 1 token predicted")


def test_a_threshold_that_is_passed_and_one_that_is_not(t):
    t.tiny()
    t.path("text.txt").write_text(EVAL.read_text()[:700])
    words = ["eval", "tiny.apr", "--dataset", "text.txt"]
    perplexity = t.json(*words)["perplexity"]
    t.equal(t.json(*words, "--threshold", perplexity + 1e-6)["passed"], True)
    report = t.json(*words, "--threshold", perplexity - 1e-3, code=5)
    t.equal((report["passed"], report["perplexity"]), (False, perplexity))
    t.contains(t.run(*words, "--threshold", 1.5, code=5).out, "above 1.5")
    for wrong in ["nan", "inf", "0.5", "x"]:
        t.fails(2, *words, "--threshold", wrong, says="--threshold")
    t.path("task.jsonl").write_text(json.dumps(QUESTIONS[0]))
    t.fails(2, "eval", "tiny.apr", "--task", "task.jsonl", "--threshold", 2, says="--threshold")


def test_datasets_by_name(t):
    t.tiny()
    folder = t.path("cache/wikitext-2")
    folder.mkdir(parents=True)
    raw = " = Title = \n\n The well-known man had 3 dogs .\n" * 20
    tokenised = " = <unk> = \n \n The well @-@ known <unk> had 3 dogs . \n" * 20
    (folder / "wiki.test.raw").write_text(raw)
    (folder / "wiki.valid.tokens").write_text(tokenised)
    places = {"APR_DATASETS": str(t.path("cache"))}
    t.path("raw.txt").write_text(raw)
    named = t.json("eval", "tiny.apr", "--dataset", "wikitext-2", env=places)
    t.equal(named["perplexity"], t.json("eval", "tiny.apr", "--dataset", "raw.txt")["perplexity"])
    t.equal(named["form"], "raw")
    t.equal(t.json("eval", "tiny.apr", "--dataset", "wikitext-2", "--split", "valid", env=places)["form"], "tokenised")
    t.equal(t.json("eval", "tiny.apr", "--dataset", folder)["perplexity"], named["perplexity"])
    t.fails(3, "eval", "tiny.apr", "--dataset", "wikitext-2", "--split", "train", env=places, says=["train", "cache"])
    t.fails(3, "eval", "tiny.apr", "--dataset", "wikitext2", env=places, hint="wikitext-2")
    t.fails(3, "eval", "tiny.apr", "--dataset", folder, "--split", "train", says="train")


framework.main(globals())
