import os
import pty
import re

import framework
from framework import SOURCE


def verbs(t):
    return [v["name"] for v in t.json("help")["verbs"]]


def test_no_words_show_the_overview_as_a_usage_error(t):
    run = t.run(code=2)
    t.contains(run.err, "Usage: apr VERB", "import", "plugins")
    t.equal(run.out, "")


def test_help_is_the_overview_on_standard_output(t):
    run = t.ok("--help")
    t.contains(run.out, "Usage: apr VERB")
    t.equal(run.err, "")
    t.equal(t.ok("help").out, run.out)
    t.equal(t.ok("-h").out, run.out)


def test_the_overview_names_every_verb(t):
    overview = t.ok("help").out
    for verb in verbs(t):
        *family, last = verb.split()
        t.check(re.search(rf"^  {' '.join(family) or last} .*\b{last}\b" if family else rf"^  {last} ", overview, re.M),
                f"the overview does not name {verb}:\n{overview}")


def test_every_verb_has_a_page_with_examples_and_exit_codes(t):
    for verb in verbs(t):
        page = t.ok(*verb.split(), "--help").out
        t.contains(page, f"apr {verb}: ", f"Usage: apr {verb}", "Options of every verb", "Examples", "Exit codes")
        t.equal(t.ok("help", *verb.split()).out, page, f"help page of {verb}")


def test_pages_fit_eighty_columns(t):
    pages = [t.ok("help").out] + [t.ok("help", *verb.split()).out for verb in verbs(t)]
    for page in pages:
        for line in page.splitlines():
            if line.lstrip().startswith("apr "):
                continue  # an example to copy is never broken
            t.check(len(line) <= 80, f"{len(line)} columns: {line}")


def test_pages_follow_the_width(t):
    lines = t.ok("help", "convert", env={"COLUMNS": "50"}).out.splitlines()
    t.check(all(len(x) <= 50 for x in lines if not x.lstrip().startswith(("apr ", "-"))), "a line is too long")


def test_help_needs_no_other_arguments(t):
    t.contains(t.ok("convert", "--help", "--quantize", "int4").out, "Usage: apr convert")
    t.contains(t.ok("convert", "x", "-h").out, "Usage: apr convert")


def test_help_as_json_is_the_schema(t):
    schema = t.json("help", "convert")
    params = {p["name"]: p for p in schema["parameters"]}
    t.equal(params["quantize"]["required"], True)
    t.equal(params["output"]["letter"], "o")
    t.equal(params["model"]["position"], 0)


def test_a_narrow_terminal_has_texts_below_names(t):
    for words in [("help",), ("help", "chat"), ("help", "convert")]:
        for line in t.ok(*words, env={"COLUMNS": "40"}).out.splitlines():
            copied = line.lstrip().startswith(("apr ", "printf ", "/", "A backslash"))  # examples, and a laid out table
            t.check(len(line) <= 40 or copied or "--" in line, f"{len(line)} columns: {line}")


def test_limits_are_told_once_and_plainly(t):
    page = t.ok("help", "chat").out
    t.contains(page, "[0 to 1; default: 1]", "[-2 to 2; default: 0]", "[default: 0]")
    t.lacks(page, "at least 0", "default: 1.0", "65536")
    t.contains(t.ok("help", "eval").out, 'default: " "')
    t.contains(t.ok("help", "--markdown").out, "1 to 65536; default: 2")


def test_options_stand_under_headings(t):
    page = t.ok("help", "run").out
    order = [page.index(f"\n{title}") for title in ["Arguments", "Options\n", "Sampling", "Computing",
                                                    "Options of every verb", "Exit codes", "Examples"]]
    t.equal(order, sorted(order), "places of the headings")


def test_exit_codes(t):
    t.contains(t.ok("help", "exit-codes").out, "  5  a check failed", "130  stopped by Ctrl-C")
    codes = [entry["code"] for entry in t.json("help", "exit-codes")["exit_codes"]]
    t.equal(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 130])


def test_help_takes_no_other_options(t):
    t.fails(2, "help", "--nonsense", says="apr help has no option '--nonsense'")
    t.fails(2, "help", "convert", "--output", says="--output")
    t.fails(2, "help", "convrt", hint="did you mean 'convert'?")


def test_help_of_a_group(t):
    t.contains(t.ok("help", "plugins").out, "apr plugins list", "apr plugins info", "apr plugins verify")
    t.equal([verb["name"] for verb in t.json("help", "plugins")["verbs"]],
            ["plugins list", "plugins info", "plugins verify"])


def test_pages_have_no_colour_in_a_pipe(t):
    t.lacks(t.ok("help").out, "\x1b")


def in_terminal(t, *words, **variables):
    """What the program writes to a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        os.execve(framework.PROGRAM, ["apr", *words], dict(environment, TERM="xterm", COLUMNS="80") | variables)
    data = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        data += part
    os.waitpid(pid, 0)
    os.close(terminal)
    return data.decode().replace("\r\n", "\n")


def test_colour_changes_no_letter(t):
    for words in [("help",), ("help", "chat"), ("help", "eval")]:
        coloured, plain = in_terminal(t, *words), t.ok(*words).out
        t.contains(coloured, "\x1b[36m")
        t.equal(re.sub(r"\x1b\[[0-9;]*m", "", coloured), plain, "the page without its colours")
        t.equal(in_terminal(t, *words, NO_COLOR="1"), plain, "the page with NO_COLOR")
        t.equal(in_terminal(t, *words, TERM="dumb"), plain, "the page on a dumb terminal")


def test_reference_is_up_to_date(t):
    written = (SOURCE / "docs" / "cli.md").read_text()
    made = t.ok("help", "--markdown").out
    t.check(written == made, "docs/cli.md is not what `apr help --markdown` prints: write it anew")


def test_version(t):
    version = t.ok("--version").out.split()
    t.equal(version[0], "apr")
    found = t.json("--version")
    t.equal(found["name"], "apr")
    t.equal(found["version"], version[1])
    t.equal(t.ok("inspect", "--version").out.split()[1], version[1])


framework.main(globals())
