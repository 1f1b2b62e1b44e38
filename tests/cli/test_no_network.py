"""apr tells nobody anything: run under strace, no verb opens a socket or connects."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import framework

GOLDEN = framework.BUNDLED / "golden"
PIPELINE = str(pathlib.Path(framework.PROGRAM).with_name("apr-pipeline"))


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
    if "address" in os.environ.get("APR_SANITIZE", ""):
        raise framework.Skip("LeakSanitizer and strace cannot both trace a program")
    if shutil.which("strace") is None:
        raise framework.Skip("strace is not installed")
    if subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        raise framework.Skip("strace may not trace here")


def test_strace_would_notice(t):
    need_strace(t)
    found = traced(t, "python3", "-c", "import socket; s = socket.socket(); s.connect_ex(('127.0.0.1', 9))")
    if not any("connect(" in line for line in found):
        raise framework.Failure("a connection was not seen")


def verbs():
    """Every verb, as the help lists them."""
    said = subprocess.run([framework.PROGRAM, "help"], capture_output=True, text=True, check=True).stdout
    said = said[:said.index("Options of every verb")]
    return set(re.findall(r"^  ([a-z][a-z-]*(?: [a-z]+)*)  +\S", said, re.MULTILINE))


def stages():
    said = subprocess.run([PIPELINE, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  ([a-z]+) ", said, re.MULTILINE))


FLOW = """
apiVersion: apr.dev/v1
kind: Pipeline
name: small
stages:
  import:
    uses: import
    with: {source: "%s"}
  small:
    uses: convert
    with: {model: "${stages.import.output}", quantize: int8}
"""


def test_no_verb_opens_a_socket(t):
    need_strace(t)
    t.tiny()
    bundled = framework.BUNDLED
    (t.folder / "messages.json").write_text(json.dumps([{"role": "user", "content": "Hello"}]))
    runs = [("import", bundled, "-o", "again.apr"), ("inspect", "tiny.apr"), ("tensors", "tiny.apr", "--stats"),
            ("validate", "tiny.apr", "--quality"), ("convert", "tiny.apr", "--quantize", "int8", "-o", "int8.apr"),
            ("quantize", "tiny.apr", "-s", "int4", "-o", "int4.apr"),
            ("export", "tiny.apr", "--format", "safetensors", "-o", "folder"), ("run", "tiny.apr", "What is 2+2?"),
            ("bench", "tiny.apr", "--prefill", 8, "--decode", 2, "--repeat", 1), ("tokenize", "tiny.apr", "Hello"),
            ("eval", "int8.apr", "--dataset", GOLDEN / "eval.txt", "--limit", 2, "--against", "tiny.apr"),
            ("trace", "tiny.apr", "--prompt", "Hello"), ("test-model", "tiny.apr", "--golden-trace", GOLDEN / "golden.json"),
            ("template", "tiny.apr", "--messages", "messages.json"), ("diff", "tiny.apr", "int8.apr"),
            ("compare-hf", "tiny.apr", bundled), ("canary", "create", "tiny.apr", "-o", "canary.json"),
            ("canary", "check", "tiny.apr", "canary.json"),
            ("graph", "tiny.apr"), ("lineage", "tiny.apr"), ("plugins", "list"), ("plugins", "verify"),
            ("plugins", "info", "arch_qwen2"), ("completion", "bash"), ("help",),
            ("probador", "playbook", "create", "first.yaml"), ("probador", "playbook", "validate", "first.yaml"),
            ("probador", "playbook", "list", "."), ("probador", "playbook", "run", "first.yaml", "--model", "tiny.apr")]
    arch = framework.SHARED / "arch"
    if (arch / "tiny-bert").is_dir():
        runs.append(("embeddings", arch / "tiny-bert", "a text"))
    if (arch / "tiny-whisper").is_dir():
        runs.append(("transcribe", arch / "tiny-whisper", arch / "tiny-whisper" / "golden" / "chirps.wav"))
    for words in runs:
        found = traced(t, framework.PROGRAM, *words, code=5 if words[0] == "diff" else 0)
        t.equal(found, [], " ".join(map(str, words)))
    t.equal(traced(t, framework.PROGRAM, "chat", "tiny.apr", stdin="Hello\n/quit\n"), [], "chat")
    tried = {" ".join(map(str, words)) for words in runs} | {"chat "}
    # A verb that nobody thought of here is one that nobody has looked at.
    for verb in verbs() - {"embeddings", "transcribe"}:
        t.check(any(f"{words} ".startswith(f"{verb} ") for words in tried), f"{verb} was not tried")
    t.check(len(verbs()) > 20, "the help lists no verbs")


def test_no_pipeline_command_opens_a_socket(t):
    need_strace(t)
    tried = set()
    for words in [("init", "made.yaml"), ("schema",)] + [
            (command, "flow.yaml") for command in
            ["lint", "plan", "run", "resume", "status", "explain", "logs", "report", "graph", "verify", "gc"]]:
        (t.folder / "flow.yaml").write_text(FLOW % framework.BUNDLED)
        tried.add(words[0])
        t.equal(traced(t, PIPELINE, *words), [], " ".join(words))
    t.equal(stages() - tried, set(), "commands that were not tried")


framework.main(globals())
