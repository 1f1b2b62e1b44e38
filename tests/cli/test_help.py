import framework
from framework import SOURCE


def verbs(t):
    return [v["name"] for v in t.json("help")["verbs"]]


def test_no_words_show_the_overview_as_a_usage_error(t):
    run = t.run(code=2)
    t.contains(run.err, "Usage: apr VERB", "import", "plugins verify")
    t.equal(run.out, "")


def test_help_is_the_overview_on_standard_output(t):
    run = t.ok("--help")
    t.contains(run.out, "Usage: apr VERB")
    t.equal(run.err, "")
    t.equal(t.ok("help").out, run.out)
    t.equal(t.ok("-h").out, run.out)


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


def test_help_of_a_group(t):
    t.contains(t.ok("help", "plugins").out, "apr plugins list", "apr plugins info", "apr plugins verify")


def test_pages_have_no_colour_in_a_pipe(t):
    t.lacks(t.ok("help").out, "\x1b")


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


def test_examples_are_commands_this_program_knows(t):
    for verb in t.json("help")["verbs"]:
        t.check(verb["examples"], f"{verb['name']} has no example")
        for example in verb["examples"]:
            t.contains(example["command"], f"apr {verb['name']}")


framework.main(globals())
