"""apr chat: turns, commands, line editing, --inspect."""
import json
import math
import os
import pty
import re
import select
import stat
import struct
import subprocess
import time

import framework


def golden():
    return json.loads((framework.BUNDLED / "golden" / "golden.json").read_text())


def turns(run):
    return [json.loads(line) for line in run.out.splitlines()]


def test_chat_through_a_pipe(t):
    t.tiny()
    run = t.ok("chat", "tiny.apr", stdin="My name is Anna.\nWhat is my name?\n\n/clear\nWhat is 2+2?\n")
    lines = run.out.splitlines()
    t.equal(len(lines), 3, "answers")
    t.contains(lines[1], "Anna")
    t.equal(lines[2], "4")
    t.equal(t.ok("chat", "tiny.apr", stdin="").out, "")
    t.equal(t.ok("chat", "tiny.apr", stdin="What is 2+2?").out, "4\n")
    t.equal(t.ok("chat", "tiny.apr", stdin="/quit\nWhat is 2+2?\n").out, "")
    t.fails(2, "chat", "tiny.apr", stdin="/cleer\n", says="/cleer", hint="/clear")


def test_chat_keeps_what_was_read(t):
    t.tiny()
    with_cache = turns(t.ok("chat", "tiny.apr", "--json", stdin="My name is Anna.\nWhat is my name?\nWhat is 2+2?\n"))
    t.equal([turn["turn"] for turn in with_cache], [1, 2, 3])
    t.equal(with_cache[0]["cached_tokens"], 0)
    for before, after in zip(with_cache, with_cache[1:]):
        # Everything but the question and the words around it was there already.
        if after["cached_tokens"] < before["prompt_tokens"] + before["tokens"]:
            raise framework.Failure(f"only {after['cached_tokens']} of {after['prompt_tokens']} tokens kept")
    # Without a cache the same conversation gives the same ids.
    text = golden()["rendered_chat_example"]["text"].split("<|im_start|>user")[0]
    for question, turn in zip(["My name is Anna.", "What is my name?", "What is 2+2?"], with_cache):
        text += f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        alone = t.json("run", "tiny.apr", text, "--raw", "--parse-special")
        t.equal(alone["ids"], turn["ids"], question)
        t.equal(alone["prompt_tokens"], turn["prompt_tokens"], question)
        text += turn["text"] + "<|im_end|>\n"


def test_chat_inspect(t):
    t.tiny()
    turn = turns(t.ok("chat", "tiny.apr", "--json", "--inspect", stdin="What is 2+2?\n"))[0]
    t.equal(len(turn["prompt_ids"]), turn["prompt_tokens"])
    t.equal([entry["id"] for entry in turn["probabilities"]], turn["ids"])
    for entry in turn["probabilities"]:
        t.equal(entry["top"][0]["id"], entry["id"], "greedy takes the likeliest")
        t.equal(len(entry["top"]), 5)
        shares = [other["probability"] for other in entry["top"]]
        t.equal(shares, sorted(shares, reverse=True))
        if not 0 < sum(shares) <= 1 + 1e-9:
            raise framework.Failure(f"probabilities {shares}")
    t.contains(t.ok("chat", "tiny.apr", "--inspect", stdin="What is 2+2?\n").out, "prompt: 26 tokens", "likeliest", "%")


class Terminal:
    """The program in a pseudo-terminal."""

    kind = "dumb"

    def __init__(self, t, *words):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([framework.PROGRAM, *map(str, words)], cwd=t.folder, stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True, env=self.environment(t),
                                        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""

    def environment(self, t):
        names = {**os.environ, "TERM": self.kind, "HOME": str(t.folder), "LC_ALL": "C.UTF-8"}
        names.pop("XDG_STATE_HOME", None)
        return names

    def until(self, *wanted):
        """Reads on until all of these came, in this order."""
        begin, end = len(self.text), time.monotonic() + 60
        pattern = re.compile(".*?".join(map(re.escape, wanted)), re.DOTALL)
        while not pattern.search(self.text, begin):
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            try:
                data = os.read(self.master, 65536) if ready else b""
            except OSError:
                data = b""
            if not data:
                raise framework.Failure(f"{' ... '.join(wanted)!r} did not come; so far:\n{self.text}")
            self.text += data.decode("utf-8", "replace")
        return self.text[begin:]

    def type(self, text):
        os.write(self.master, text.encode())

    def leave(self):
        code = self.process.wait(timeout=60)
        os.close(self.master)
        return code


def test_chat_in_a_terminal(t):
    t.tiny()
    terminal = Terminal(t, "chat", "tiny.apr")
    terminal.until("You: ")
    terminal.type("What is 2+2?\n")
    t.contains(terminal.until("You: "), "Assistant: 4")
    terminal.type("/nonsense\n")
    t.contains(terminal.until("You: "), "unknown command")
    terminal.type("/quit\n")
    t.equal(terminal.leave(), 0)


def test_control_c_in_a_terminal(t):
    t.tiny()
    # A hot temperature talks for long; Ctrl-C must end the answer and keep the chat.
    terminal = Terminal(t, "chat", "tiny.apr", "--temperature", "5", "--backend", "reference", "--max-tokens", "900")
    terminal.until("You: ")
    terminal.type("Tell me a story.\n")
    terminal.until("Assistant: ")
    terminal.type("\x03")
    t.contains(terminal.until("You: "), "(stopped)")
    terminal.type("\x03")
    t.contains(terminal.until("You: "), "once more")
    terminal.type("\x03")
    t.equal(terminal.leave(), 130)


def test_save_and_load(t):
    t.tiny()
    run = t.ok("chat", "tiny.apr", stdin="/system Answer briefly.\nMy name is Anna.\n/save talk.json\n")
    t.contains(run.err, "kept in talk.json: 2 messages")
    saved = json.loads((t.folder / "talk.json").read_text())
    t.equal([message["role"] for message in saved["messages"]], ["system", "user", "assistant"])
    t.equal(saved["messages"][2]["content"] + "\n", run.out)
    on = turns(t.ok("chat", "tiny.apr", "--json", stdin="/load talk.json\nWhat is my name?\n"))[0]
    whole = turns(t.ok("chat", "tiny.apr", "--json", "--system", "Answer briefly.",
                       stdin="My name is Anna.\nWhat is my name?\n"))[1]
    t.equal((on["ids"], on["prompt_tokens"]), (whole["ids"], whole["prompt_tokens"]))
    # The template of the saved conversation is the prompt it was.
    t.contains(t.ok("template", "tiny.apr", "--messages", "talk.json").out, "Answer briefly.", "My name is Anna.")
    # What is there is not replaced unasked, and a file that is none is named with its field.
    t.fails(5, "chat", "tiny.apr", stdin="/save talk.json\n", says="talk.json", hint="/save -f talk.json")
    t.ok("chat", "tiny.apr", stdin="/save -f talk.json\n")
    (t.folder / "folder").mkdir()
    refused = t.fails(5, "chat", "tiny.apr", stdin="/save folder\n", says="is a folder")
    t.check("replaces it" not in refused.err, "a folder is never replaced")
    t.fails(3, "chat", "tiny.apr", stdin="/load nowhere.json\n", says="nowhere.json")
    for text, says in [("[1]", "messages[0] is"), ('{"messages": 3}', "field messages"),
                       ('[{"role": "tool", "content": ""}]', "messages[0].role"), ("{", "bad.json")]:
        (t.folder / "bad.json").write_text(text)
        t.fails(4, "chat", "tiny.apr", stdin="/load bad.json\n", says=says)


def test_set_and_retry(t):
    t.tiny()
    said = t.ok("chat", "tiny.apr", stdin="/set max-tokens 1\nWhat is 12+31?\n/set max-tokens 20\n/retry\n/set\n")
    t.equal(said.out, "4\n43\n")
    t.contains(said.err, "max-tokens is 1 from now on", "temperature is 0", "top-k")
    t.fails(2, "chat", "tiny.apr", stdin="/set temprature 1\n", says="temprature", hint="temperature")
    t.fails(2, "chat", "tiny.apr", stdin="/set temperature warm\n", says="warm")
    t.fails(2, "chat", "tiny.apr", stdin="/set max-tokens 5000\n", says=["5000", "1024"])
    t.fails(2, "chat", "tiny.apr", stdin="/set system x\n", says="no setting system")
    t.fails(2, "chat", "tiny.apr", stdin="/retry\n", says="no answer yet")
    # Every retry draws with the next seed: the same as asking with that seed.
    hot = turns(t.ok("chat", "tiny.apr", "--json", "--temperature", "3", "-n", 12,
                     stdin="Tell me a story.\n/retry\n/retry\n"))
    for seed, turn in enumerate(hot):
        alone = turns(t.ok("chat", "tiny.apr", "--json", "--temperature", "3", "-n", 12, "--seed", seed,
                           stdin="Tell me a story.\n"))[0]
        t.equal(turn["ids"], alone["ids"], f"seed {seed}")


def test_limits(t):
    t.tiny()
    t.fails(2, "chat", "tiny.apr", "-n", 5000, says=["--max-tokens 5000", "1024"])
    t.fails(2, "chat", "tiny.apr", "--context", 5000, says=["--context 5000", "1024"])


def test_attention(t):
    t.tiny()
    stdin = "What is 2+2?\n/attn 1 3\nWhat is 3+5?\n/attn\n"
    first, drawn, second, last = turns(t.ok("chat", "tiny.apr", "--json", "--inspect", "--mode", "exact", stdin=stdin))
    t.equal((drawn["layer"], drawn["head"], last["layer"], last["head"]), (1, 3, 1, 0))
    for picture in [drawn, last]:
        for row, weights in enumerate(picture["attention"]):
            t.equal(len(weights), row + 1)
            if not math.isclose(sum(weights), 1, abs_tol=1e-5):
                raise framework.Failure(f"row {row} sums to {sum(weights)}")
    # The same figures as a trace of the same tokens has, whose computation knows nothing of chats.
    ids = (first["prompt_ids"] + first["ids"])[:len(drawn["attention"])]
    t.ok("trace", "tiny.apr", "--ids", ",".join(map(str, ids)), "--nodes", "layer1.attn_probs", "--mode", "exact",
         "--export", "trace")
    data = (t.folder / "trace" / "golden.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    entry = next(value for key, value in json.loads(data[8:8 + size]).items() if key.endswith("layer1.attn_probs"))
    n = len(ids)
    t.equal(entry["shape"], [4, n, n])
    numbers = struct.unpack(f"<{4 * n * n}f", data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]])
    for row in range(n):
        traced = numbers[(3 * n + row) * n:(3 * n + row) * n + row + 1]
        worst = max(abs(a - b) for a, b in zip(traced, drawn["attention"][row]))
        if worst > 1e-6:
            raise framework.Failure(f"row {row} differs by {worst}")
    t.contains(t.ok("chat", "tiny.apr", "--inspect", stdin="What is 2+2?\n/attn 0 0\n").out, "layer 0 of 4, head 0 of 4", "█")
    t.fails(2, "chat", "tiny.apr", "--inspect", stdin="/attn 4 0\n", says="layer 4 is not one of 0 ... 3")
    t.fails(2, "chat", "tiny.apr", "--inspect", stdin="/attn 0 0\n", says="before the first answer")
    t.fails(2, "chat", "tiny.apr", stdin="/attn 0 0\n", says="--inspect")


def test_trace_id_and_perplexity(t):
    t.tiny()
    ask = lambda *words: turns(t.ok("chat", "tiny.apr", "--json", "--inspect", *words, stdin="What is 12+31?\n"))[0]
    one, again, other = ask(), ask(), ask("--max-tokens", 30)
    t.equal(one["trace_id"], again["trace_id"])
    if one["trace_id"] == other["trace_id"]:
        raise framework.Failure("other settings have the same trace id")
    mean = sum(-math.log(entry["probability"]) for entry in one["probabilities"]) / len(one["probabilities"])
    if not math.isclose(one["perplexity"], math.exp(mean), rel_tol=1e-9) or not one["resident_bytes"] > 1 << 20:
        raise framework.Failure(f"perplexity {one['perplexity']}, resident {one['resident_bytes']}")


def test_commands_with_too_much_behind_them(t):
    t.tiny()
    for line, says in [("/quit now", "/quit stands alone"), ("/clear x", "/clear stands alone"), ("/retry 3", "/retry stands alone"),
                       ("/help set", "/help stands alone"), ("/save -f", "/save needs the name"), ("/save   -f  ", "/save needs the name")]:
        t.fails(2, "chat", "tiny.apr", stdin=f"{line}\n", says=says)
    t.fails(2, "chat", "tiny.apr", "--inspect", stdin="What is 2+2?\n/attn 0 0 0\n", says="a layer and a head")
    t.equal(t.ok("chat", "tiny.apr", stdin="/quit  \nWhat is 2+2?\n").out, "")
    t.check(not (t.folder / "-f").exists(), "a file called -f was written")


def test_pieces_of_characters_are_shown_as_bytes(t):
    t.tiny()
    shown = t.ok("chat", "tiny.apr", "--inspect", stdin="日\n").out
    t.contains(shown, "<0xE6>")
    t.check("\ufffd" not in shown.split("likeliest")[0], "a byte is shown as a replacement character")


def test_memory_limit_of_the_process(t):
    """ulimit -v counts as much as what the machine has free; both figures are named."""
    import resource
    folder = t.folder / "wide"
    folder.mkdir()
    for path in framework.BUNDLED.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = 10_000_000
    (folder / "config.json").write_text(json.dumps(config))
    limited = lambda *words: subprocess.run(
        [framework.PROGRAM, *words], cwd=t.folder, input=b"hi\n", capture_output=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)))
    if limited("--version").returncode != 0:
        raise framework.Skip("a program with a sanitizer needs more address space than that")
    done = limited("chat", str(folder), "-n", "5000000")
    said = done.stderr.decode()
    t.equal(done.returncode, 2, said)
    t.contains(said, "--max-tokens 5000000 needs 20.5 GB", "GB are free")
    free = float(said.split("values, and ")[1].split(" GB")[0])
    t.check(free < 4.3, f"{free} GB are more than the limit")


class Editor(Terminal):
    kind = "xterm"


def test_line_editing(t):
    t.tiny()
    terminal = Editor(t, "chat", "tiny.apr")
    terminal.until("You:")
    terminal.type("What is 2+3?")
    terminal.type("\x7f\x7f2?\r")  # two characters taken back
    t.contains(terminal.until("You:"), "4")
    terminal.type("\x1b[A\r")  # the message before, again
    t.contains(terminal.until("You:"), "4")
    # A paste of two lines is one message; so is a line that a backslash continues.
    terminal.type("\x1b[200~/system one\ntwo\x1b[201~")
    time.sleep(0.3)
    terminal.type("\r")
    t.contains(terminal.until("You:"), "a new system message")
    terminal.type("/save first.json\r")
    t.contains(terminal.until("You:"), "kept in first.json")
    terminal.type("/system three\\\r")
    terminal.until("...")
    terminal.type("four\r")
    t.contains(terminal.until("You:"), "a new system message")
    terminal.type("/save second.json\r")
    t.contains(terminal.until("You:"), "kept in second.json")
    terminal.type("\x04")
    t.equal(terminal.leave(), 0)
    contents = [json.loads((t.folder / name).read_text())["messages"][0]["content"] for name in ["first.json", "second.json"]]
    t.equal(contents, ["one\ntwo", "three\nfour"])
    history = t.folder / ".local" / "state" / "apr" / "chat_history"
    t.contains(history.read_text(), "2+2")
    t.equal(stat.S_IMODE(history.stat().st_mode), 0o600)
    # The next chat finds it; with --no-history nothing is read or written.
    before = history.read_bytes()
    terminal = Editor(t, "chat", "tiny.apr", "--no-history")
    terminal.until("You:")
    terminal.type("/help\r")
    terminal.until("You:")
    terminal.type("/quit\r")
    t.equal(terminal.leave(), 0)
    t.equal(history.read_bytes(), before)


def test_control_c_throws_away_what_was_typed(t):
    t.tiny()
    terminal = Editor(t, "chat", "tiny.apr", "--no-history")
    terminal.until("You:")
    terminal.type("\x03")
    terminal.until("once more", "You:")  # before that the terminal echoes, and nobody reads yet
    terminal.type("half a line")
    terminal.until("half a line")
    terminal.type("\x03")  # the second in a row, but something was typed in between
    terminal.until("You:")
    terminal.type("What is 2+2?\r")
    t.contains(terminal.until("You:"), "4")
    terminal.type("\x04")
    t.equal(terminal.leave(), 0)


def test_control_c_while_the_prompt_is_read(t):
    t.tiny()
    terminal = Terminal(t, "chat", "tiny.apr", "--inspect", "--backend", "reference")
    terminal.until("You: ")
    terminal.type("/system " + "tell me a story " * 100 + "\n")
    terminal.until("You: ")
    terminal.type("Hello\n")
    time.sleep(0.05)
    terminal.type("\x03")
    said = terminal.until("You: ")
    if "no token was written" in said:
        t.check("perplexity 1.0" not in said, "a perplexity of nothing")
    terminal.type("/quit\n")
    t.equal(terminal.leave(), 0)


def test_control_z_and_fg(t):
    """A shell with job control: the line that was being edited is there again after fg."""
    t.tiny()
    terminal = Editor.__new__(Editor)
    terminal.master, slave = pty.openpty()
    terminal.process = subprocess.Popen(["bash", "--norc", "--noediting", "-i"], cwd=t.folder, stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, env={**terminal.environment(t), "PS1": "shell> "},
                                        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
    os.close(slave)
    terminal.text = ""
    terminal.until("shell> ")
    terminal.type(f"'{framework.PROGRAM}' chat tiny.apr --no-history\n")
    terminal.until("You:")
    terminal.type("What is")
    terminal.until("What is")
    terminal.type("\x1a")
    t.contains(terminal.until("shell> "), "Stopped")
    terminal.type("fg\n")
    terminal.until("What is")
    terminal.type(" 2+2?\r")
    t.contains(terminal.until("You:"), "Assistant:", "4")
    terminal.type("/quit\r")
    terminal.until("shell> ")
    terminal.type("exit 7\n")
    t.equal(terminal.leave(), 7)


framework.main(globals())
