"""apr probador playbook: the shipped playbooks pass; the runner notices what is wrong."""
import json
import xml.etree.ElementTree as xml

import framework

PLAYBOOKS = framework.SOURCE / "tests" / "playbooks"


def write(t, text, name="p.yaml"):
    (t.folder / name).write_text(text)
    return name


def step(fields, command="apr --version"):
    return f"name: x\nsteps:\n  - command: {json.dumps(command)}\n" + "".join(f"    {line}\n" for line in fields)


def test_the_shipped_playbooks_pass(t):
    t.tiny()
    t.contains(t.ok("probador", "playbook", "validate", PLAYBOOKS).out, "20 playbooks, no mistakes")
    run = t.run("probador", "playbook", "run", PLAYBOOKS, "--model", "tiny.apr", "--junit", "junit.xml")
    if run.code != 0:
        raise framework.Failure(str(run))
    suites = xml.parse(t.folder / "junit.xml").getroot()
    t.equal((suites.get("failures"), len(suites)), ("0", 20))
    listed = t.json("probador", "playbook", "list", PLAYBOOKS)["playbooks"]
    categories = [entry["category"] for entry in listed]
    for category in ["happy-path", "error-handling", "edge-cases", "performance"]:
        if categories.count(category) < 3:
            raise framework.Failure(f"{categories.count(category)} of category {category}")


def test_create_makes_one_that_runs(t):
    t.tiny()
    t.ok("probador", "playbook", "create", "first.yaml")
    t.ok("probador", "playbook", "run", "first.yaml", "--model", "tiny.apr")
    t.fails(5, "probador", "playbook", "create", "first.yaml", says="first.yaml", hint="--force")


def test_every_expectation_can_fail(t):
    t.tiny()
    for fields, problem in [(["expect_exit: 3"], "exit code 0, wanted 3"), (["expect_output: zebra"], "lacks 'zebra'"),
                            (["output_contains: [apr, zebra]"], "lacks 'zebra'"), (["expect_stderr: zebra"], "standard error lacks"),
                            (["output_lacks: apr"], "holds 'apr'"), (['output_matches: "^zebra"'], "does not match"),
                            (["max_seconds: 1ms"], "more than")]:
        name = write(t, step(fields))
        report = t.json("probador", "playbook", "run", name, code=5)
        t.contains(report["playbooks"][0]["steps"][-1]["problem"], problem)
    report = t.json("probador", "playbook", "run", write(t, step(["output_not_empty: true"], "apr chat model.apr")),
                    "--model", "tiny.apr", code=5)
    t.equal(report["failed_count"], 1)
    # A step that fails ends the playbook; an assertion looks at the step before.
    text = step([]) + '  - action: assert\n    output_matches: "no such text"\n  - command: apr --version\n'
    report = t.json("probador", "playbook", "run", write(t, text), "--junit", "j.xml", code=5)
    t.equal([done["passed"] for done in report["playbooks"][0]["steps"]], [True, False])
    t.equal(xml.parse(t.folder / "j.xml").getroot().get("failures"), "1")


def test_time_is_limited(t):
    t.tiny()
    text = step(["timeout: 50ms"], "apr run model.apr 'Tell me a story.' --temperature 5 --max-tokens 1000 --backend reference")
    report = t.json("probador", "playbook", "run", write(t, text), "--model", "tiny.apr", code=5)
    t.contains(report["playbooks"][0]["steps"][0]["problem"], "still running after 50 ms")


def test_the_session_sees_nothing_of_the_user(t):
    (t.folder / "secret.txt").write_text("x")
    text = step(["expect_exit: 3"], "apr tokenize secret.txt x")
    t.ok("probador", "playbook", "run", write(t, text), env={"APR_PLUGIN_PATH": "/nowhere"})
    quoted = 'name: q\nfiles: {a.txt: "one two"}\nsteps:\n  - command: "apr tokenize \\"no such\\" \'a b\'"\n    expect_exit: 3\n    expect_stderr: no such\n'
    t.ok("probador", "playbook", "run", write(t, quoted))


def test_mistakes_have_places(t):
    for text, says in [("[]", "a playbook is a map"), ("name: x\nsteps: 3\n", "p.yaml:2:8"), ("name: x\n", "no steps"),
                       ("steps:\n  - command: apr\n", "no name"), (step(["expct_exit: 1"]), "did you mean 'expect_exit'"),
                       (step([], "rm -rf /"), "nothing else"), (step([], "apr 'x"), "no end"), (step(["timeout: soon"]), "30s"),
                       (step(["expect_exit: 300"]), "0 to 255"), (step(['output_matches: "("']), "regular expression"),
                       ("name: x\nsteps:\n  - action: assert\n    output_contains: a\n", "first step"),
                       ("name: x\nrunner: wasm\nsteps:\n  - command: apr\n", "runner 'wasm'"),
                       ("name: x\nfiles: {../up: y}\nsteps:\n  - command: apr\n", "plain name"),
                       ("name: x\nfiles: {/up: y}\nsteps:\n  - command: apr\n", "plain name"),
                       (step(["folder: ../x"]), "leaves"), (step(['expect_output: ""']), "could never fail"),
                       (step(["max_seconds: 0"]), "more than 0"), (step(["output_matches: [a, 'b**']"]), "p.yaml:4:25"), ("name: [", "p.yaml")]:
        name = write(t, text)
        report = t.json("probador", "playbook", "validate", name, code=5)
        t.contains("\n".join(report["mistakes"]), says)
        t.fails(4, "probador", "playbook", "run", name)
    t.fails(3, "probador", "playbook", "run", "nowhere", says="nowhere", hint="create")


def test_a_playbook_as_people_write_them(t):
    """Multi-line patterns, any case, folders, variables, limits in plain seconds."""
    t.tiny()
    text = """\
name: "A chat, as in the product's plan"
description: "Complete chat session with model loading and generation"
timeout: 60s
runner: cli
files: {in/a question.txt: "What is 2+2?"}
steps:
  - name: "Validate Model"
    action: run
    command: "apr validate model.apr"
    expect_exit: 0
    expect_output: "VALID"
  - name: "Run Chat Generation"
    action: run
    command: "apr chat model.apr --max-tokens 50"
    stdin: "What is 2+2?"
    timeout: 30s
    expect_exit: 0
  - name: "Verify Response"
    action: assert
    output_not_empty: true
  - name: "Verify Inspect Mode"
    action: run
    command: "apr chat model.apr --inspect --max-tokens 10"
    stdin: "Hello"
    expect_output: "tok/s"
  - name: "Lines, in any case"
    command: apr --help
    output_matches: ["(?i)^USAGE: ", "(?<=VERB )--help"]
    max_seconds: 30
  - name: "In a folder of its own"
    command: apr inspect ../model.apr
    folder: in
    env: {NO_COLOR: "1"}
"""
    t.ok("probador", "playbook", "run", write(t, text), "--model", "tiny.apr")


def test_a_pattern_without_end_is_given_up(t):
    text = "name: x\nsteps:\n  - command: apr --help\n    output_matches: '(\\w*\\s*)*\\x01$'\n"
    report = t.json("probador", "playbook", "run", write(t, text), code=5)
    t.contains(report["playbooks"][0]["steps"][0]["problem"], "too long")


def test_other_programs_only_where_allowed(t):
    name = write(t, 'name: x\nsteps:\n  - command: echo hi\n    output_matches: "^hi$"\n')
    t.fails(4, "probador", "playbook", "run", name, says="begins with 'echo'")
    t.equal(len(t.json("probador", "playbook", "validate", name, code=5)["mistakes"]), 1)
    t.ok("probador", "playbook", "run", name, "--allow", "echo")
    t.fails(7, "probador", "playbook", "run", write(t, "name: x\nsteps:\n  - command: no-such-program\n"), "--allow",
            "no-such-program", says="no-such-program")


def test_steps_after_a_failure_are_reported_as_skipped(t):
    text = step(["expect_exit: 3"]) + "  - name: never\n    command: apr --version\n"
    report = t.json("probador", "playbook", "run", write(t, text), "--junit", "j.xml", code=5)
    t.equal(report["playbooks"][0]["not_run"], ["never"])
    suite = xml.parse(t.folder / "j.xml").getroot()[0]
    t.equal((suite.get("tests"), suite.get("failures"), suite.get("skipped")), ("2", "1", "1"))
    t.equal([child.tag for case in suite for child in case], ["failure", "skipped"])


def test_a_broken_one_hides_no_others(t):
    t.path("many").mkdir()
    write(t, step([]), "many/a.yaml")
    write(t, "name: b\n", "many/b.yaml")
    listed = t.json("probador", "playbook", "list", "many", code=5)
    t.equal([entry["name"] for entry in listed["playbooks"]], ["x"])
    t.contains(listed["mistakes"][0], "b.yaml:1:1", "no steps")


def test_create_needs_no_name(t):
    t.ok("probador", "playbook", "create")
    t.ok("probador", "playbook", "validate", "playbook.yaml")


framework.main(globals())
