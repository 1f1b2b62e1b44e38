"""apr completion: the scripts are read by the shells themselves, and asked what they would complete."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

import framework
from framework import PROGRAM

FOLDER = os.path.dirname(PROGRAM)


def need(shell):
    if shutil.which(shell) is None:
        raise framework.Skip(f"{shell} is not installed")


def script(t, shell):
    path = t.path(f"apr.{shell}")
    path.write_text(t.ok("completion", shell).out)
    return path


def in_bash(t, line, path=None):
    """What bash would offer at the end of the line."""
    need("bash")
    words = re.findall(r"=|[^\s=]+", line) + ([""] if line.endswith((" ", "=")) else [])
    quoted = " ".join("'" + word + "'" for word in words)
    program = "_apr_pipeline" if words[0] == "apr-pipeline" else "_apr"
    text = (f"source '{path or script(t, 'bash')}'\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n{program}\n"
            'printf "%s\\n" "${COMPREPLY[@]}"\n')
    done = subprocess.run(["bash", "--norc", "-c", text], cwd=t.folder, capture_output=True, text=True, timeout=60)
    t.equal(done.stderr, "", "standard error of bash")
    return [word for word in done.stdout.split("\n") if word]


def in_fish(t, line):
    need("fish")
    path = script(t, "fish")
    done = subprocess.run(["fish", "--no-config", "-c", f"source '{path}'; complete -C '{line}'"], cwd=t.folder,
                          capture_output=True, text=True, timeout=60, env=dict(os.environ, HOME=str(t.folder)))
    t.equal(done.stderr, "", "standard error of fish")
    return [entry.split("\t")[0] for entry in done.stdout.splitlines()]


def typed(t, command, keys, until, env=None):
    """Types keys into an interactive shell in a terminal of its own until the screen shows a text."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(t.folder)
        # no fancy terminal, so that what is typed comes back as plain text
        os.execvpe(command[0], command, dict(os.environ, TERM="dumb", PS1="ready> ", HOME=str(t.folder),
                                             ZDOTDIR=str(t.folder), LC_ALL="C.UTF-8", **(env or {})))
    screen = b""
    try:
        for wanted, text in [("ready>", None)] + [(w, k) for k, w in zip(keys, until)]:
            if text is not None:
                os.write(terminal, text.encode())
            begin, end = len(screen) if text is not None else 0, time.monotonic() + 40
            # shells redraw with spaces and steps back of their own
            while wanted.encode() not in re.sub(rb" +", b" ", re.sub(rb".\x08", b"", screen[begin:])):
                if time.monotonic() > end:
                    raise framework.Failure(f"'{wanted}' did not appear; the screen shows:\n"
                                            f"{screen.decode('utf-8', 'replace')}")
                if select.select([terminal], [], [], 0.2)[0]:
                    try:
                        screen += os.read(terminal, 65536)
                    except OSError:
                        raise framework.Failure(f"the shell ended:\n{screen.decode('utf-8', 'replace')}")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    return screen.decode("utf-8", "replace")


def test_every_script_is_read_without_complaint(t):
    for shell, check in [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])]:
        path = script(t, shell)
        t.check(path.stat().st_size > 5000, f"the script for {shell} is short")
        if shutil.which(shell) is None:
            continue
        done = subprocess.run([*check, path], capture_output=True, text=True, timeout=60)
        t.equal((done.returncode, done.stderr), (0, ""), shell)


def test_bash_verbs_options_and_choices(t):
    path = script(t, "bash")
    at = lambda line: in_bash(t, line, path)
    t.equal(at("apr conv"), ["convert"])
    t.check({"import", "chat", "plugins", "canary", "help"} <= set(at("apr ")), "verbs")
    t.equal(at("apr convert m.apr --quant"), ["--quantize"])
    t.check({"int8", "int4", "q4_0"} <= set(at("apr convert m.apr --quantize ")), "schemes")
    t.equal(at("apr convert m.apr --quantize int"), ["int8", "int4"])
    t.equal(at("apr trace m.apr --mode d"), ["deterministic"])
    t.equal(at("apr trace m.apr --mode=d"), ["deterministic"])
    t.equal(at("apr trace m.apr --mode="), ["exact", "deterministic", "fast"])
    t.equal(at("apr plugins v"), ["verify"])
    t.equal(set(at("apr canary ")), {"create", "check"})
    t.check("--type-aware" in at("apr canary check a.apr b.json --t"), "options of a verb of two words")
    t.equal(at("apr completion z"), ["zsh"])
    t.equal(at("apr prob"), ["probador"])
    t.equal(at("apr probador "), ["playbook"])
    t.check({"run", "list"} <= set(at("apr probador playbook ")), "verbs of three words")
    t.equal(at("apr help lin"), ["lineage"])
    t.equal(at("apr --threads 2 conv"), ["convert"], "after a global option with its value")
    t.equal(at("apr eval --mo"), ["--mode"])
    t.equal(at("apr convert --mo"), [], "an option of another verb")
    t.equal(at("apr bench --threads "), [], "a number")


def test_bash_files(t):
    t.path("model one.apr").write_text("")
    t.path("mode").mkdir()
    path = script(t, "bash")
    t.equal(sorted(in_bash(t, "apr inspect mod", path)), ["mode", "model one.apr"])
    t.equal(in_bash(t, "apr inspect --plugin-path mod", path), ["mode"], "folders only")
    t.equal(sorted(in_bash(t, "apr convert x -o mod", path)), ["mode", "model one.apr"])
    t.equal(in_bash(t, "apr tokenize m.apr mod", path), [], "a text is no file")
    t.equal(sorted(in_bash(t, "apr diff a.apr mod", path)), ["mode", "model one.apr"], "second place")


def test_bash_pipelines(t):
    path = script(t, "bash")
    t.equal(in_bash(t, "apr-pipeline res", path), ["resume"])
    t.check("--keep-going" in in_bash(t, "apr-pipeline run p.yaml --k", path), "options")


def test_bash_at_a_terminal(t):
    need("bash")
    path = script(t, "bash")
    keys = [f"source '{path}'; echo loaded\n", "apr conv\tX", "\x15apr convert m.apr --quant\tX", "\x15apr trace --mode ex\tX"]
    typed(t, ["bash", "--norc", "--noprofile", "-i"], keys,
          ["\nloaded", "apr convert X", "--quantize X", "--mode exact X"])


def test_zsh_at_a_terminal(t):
    need("zsh")
    path = script(t, "zsh")
    t.path(".zshrc").write_text("PS1='ready> '\nunsetopt zle_bracketed_paste 2>/dev/null\n"
                                f"autoload -Uz compinit; compinit -u -D\nsource '{path}'\n")
    t.path("model.apr").write_text("")
    keys = ["apr conv\tX", "\x15apr convert m.apr --quant\tX", "\x15apr trace --mode ex\tX", "\x15apr trace --mode=ex\tX",
            "\x15apr canary cr\tX", "\x15apr inspect mod\tX", "\x15apr-pipeline res\tX", "\x15apr \t\t"]
    screen = typed(t, ["zsh", "-i"], keys,
                   ["apr convert X", "--quantize X", "--mode exact X", "--mode=exact X", "canary create X",
                    "model.apr X", "apr-pipeline resume X", "compare two models"])
    t.contains(screen, "compare two models")


def test_fish_verbs_options_and_choices(t):
    t.equal(in_fish(t, "apr conv"), ["convert"])
    t.equal(in_fish(t, "apr convert m.apr --quant"), ["--quantize"])
    t.equal(in_fish(t, "apr convert m.apr --quantize int"), ["int4", "int8"])
    t.equal(in_fish(t, "apr trace --mode=d"), ["--mode=deterministic"])
    t.equal(in_fish(t, "apr canary cr"), ["create"])
    t.equal(in_fish(t, "apr completion z"), ["zsh"])
    t.equal(in_fish(t, "apr probador playbook li"), ["list"])
    t.equal(in_fish(t, "apr --threads 2 conv"), ["convert"])
    t.equal(in_fish(t, "apr-pipeline res"), ["resume"])
    t.equal(in_fish(t, "apr convert --tempe"), [])


def test_fish_files(t):
    t.path("model.apr").write_text("")
    t.equal(in_fish(t, "apr inspect mod"), ["model.apr"])
    t.equal(in_fish(t, "apr convert x -o mod"), ["model.apr"])
    t.equal(in_fish(t, "apr tokenize m.apr mod"), [])


def test_every_verb_and_option_is_in_every_script(t):
    verbs = t.json("help")["verbs"]
    for shell in ["bash", "zsh", "fish"]:
        text = t.ok("completion", shell).out
        for verb in verbs:
            t.contains(text, verb["name"].split()[-1])
            for param in verb["parameters"]:
                if "position" in param:
                    continue
                spelled = f"-l {param['name']}" if shell == "fish" else f"--{param['name']}"
                t.contains(text, spelled)


def test_errors(t):
    t.fails(2, "completion", says="SHELL")
    t.fails(2, "completion", "ksh", says=["'ksh'", "bash, zsh, fish"])
    t.equal(t.json("completion", "bash")["script"], t.ok("completion", "bash").out)


framework.main(globals())
