"""apr tells nobody anything: run under strace, no verb opens a socket or connects."""
import json
import re
import shutil
import subprocess

import framework

GOLDEN = framework.BUNDLED / "golden"


def traced(t, program, *words, stdin="", code=0):
    log = t.folder / "strace.log"
    done = subprocess.run(["strace", "-f", "-qq", "-e", "trace=%network", "-o", str(log), program, *map(str, words)],
                          cwd=t.folder, input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    if done.returncode != code:
        raise framework.Failure(f"{words}: exit code {done.returncode}\n{done.stderr.decode('utf-8', 'replace')}")
    # A pair of sockets between a program and its own child reaches nobody.
    return [line for line in log.read_text().splitlines()
            if re.search(r"\b(socket|connect|bind|sendto|sendmsg)\(", line) and "AF_UNIX" not in line]


def need_strace(t):
    if shutil.which("strace") is None:
        raise framework.Skip("strace is not installed")
    if subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        raise framework.Skip("strace may not trace here")


def test_strace_would_notice(t):
    need_strace(t)
    found = traced(t, "python3", "-c", "import socket; s = socket.socket(); s.connect_ex(('127.0.0.1', 9))")
    if not any("connect(" in line for line in found):
        raise framework.Failure("a connection was not seen")


def test_no_verb_opens_a_socket(t):
    need_strace(t)
    t.tiny()
    (t.folder / "messages.json").write_text(json.dumps([{"role": "user", "content": "Hello"}]))
    runs = [("import", framework.BUNDLED, "-o", "again.apr"), ("inspect", "tiny.apr"), ("tensors", "tiny.apr", "--stats"),
            ("validate", "tiny.apr", "--quality"), ("convert", "tiny.apr", "--quantize", "int8", "-o", "int8.apr"),
            ("export", "tiny.apr", "--format", "safetensors", "-o", "folder"), ("run", "tiny.apr", "What is 2+2?"),
            ("bench", "tiny.apr", "--prefill", 8, "--decode", 2, "--repeat", 1), ("tokenize", "tiny.apr", "Hello"),
            ("eval", "int8.apr", "--dataset", GOLDEN / "eval.txt", "--limit", 2, "--against", "tiny.apr"),
            ("trace", "tiny.apr", "--prompt", "Hello"), ("test-model", "tiny.apr", "--golden-trace", GOLDEN / "golden.json"),
            ("template", "tiny.apr", "--messages", "messages.json"), ("diff", "tiny.apr", "int8.apr"),
            ("graph", "tiny.apr"), ("lineage", "tiny.apr"), ("plugins", "list"), ("plugins", "verify"), ("help",)]
    for words in runs:
        found = traced(t, framework.PROGRAM, *words, code=5 if words[0] == "diff" else 0)
        t.equal(found, [], " ".join(map(str, words)))
    t.equal(traced(t, framework.PROGRAM, "chat", "tiny.apr", stdin="Hello\n/quit\n"), [], "chat")


framework.main(globals())
