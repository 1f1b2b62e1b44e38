"""Help, arguments, typing mistakes, exit codes."""
import framework
import helpers
from helpers import fails

COMMANDS = ["lint", "plan", "run", "resume", "status", "explain", "logs", "report", "graph", "verify", "gc"]
OTHERS = {"init": "apr-pipeline init my.yaml", "schema": "apr-pipeline schema -o"}


def test_version(t):
    t.contains(t.ok("--version").out, "apr-pipeline 0.")
    t.equal(t.json("--version")["name"], "apr-pipeline")


def test_overview(t):
    page = t.ok("--help").out
    t.contains(page, *COMMANDS, *OTHERS)
    t.lacks(page, "stage-worker")
    t.equal(t.ok("help").out, page)
    t.equal(t.run(code=2).err, page)
    t.contains(t.run("help", "--nonsense", code=2).err, "--nonsense")
    commands = {entry["name"]: entry for entry in t.json("help")["commands"]}
    t.equal(sorted(commands), sorted([*COMMANDS, *OTHERS]))
    t.equal(t.json("run", "--help"), commands["run"])
    t.contains(commands["run"]["usage"], "apr-pipeline run FILE")


def test_every_command_has_help_with_an_example(t):
    for command in COMMANDS:
        page = t.ok(command, "--help").out
        t.contains(page, f"Usage: apr-pipeline {command} FILE", f"apr-pipeline {command} pipelines/north-star.yaml",
                   "Exit codes")
        t.lacks(page, f"apr {command}")
        t.check(all(len(line) <= 80 for line in page.splitlines()), "a line is too long\n" + page)
        t.equal(t.ok("help", command).out, page)
    for command, example in OTHERS.items():
        t.contains(t.ok(command, "--help").out, f"Usage: apr-pipeline {command}", example, "Exit codes")


def test_typing_mistakes(t):
    fails(t, 2, "rnu", "x.yaml", says=["there is no command 'rnu'", "did you mean 'run'?"])
    fails(t, 2, "run", "x.yaml", "--kep-going", says=["apr-pipeline run has no option '--kep-going'",
                                                      "did you mean '--keep-going'?"])
    fails(t, 2, "run", says="apr-pipeline run needs FILE")
    fails(t, 2, "lint", "a.yaml", "b.yaml", says="does not know what to do with 'b.yaml'")
    fails(t, 2, "run", "x.yaml", "-j", "0", says="must be between 1 and 256")
    fails(t, 2, "run", "x.yaml", "--locked", "--no-lock", says="exclude each other")
    fails(t, 2, "run", "x.yaml", "--events", "jsonl", "--json", says="exclude each other")
    fails(t, 2, "run", "x.yaml", "--events", "xml", says="jsonl")
    t.contains(t.run("stage-worker", stdin="{}", code=2).err, "is started by `apr-pipeline run` only")


def test_files_that_are_none(t):
    fails(t, 3, "lint", "nowhere.yaml", says="nowhere.yaml: there is no such pipeline file")
    fails(t, 7, "lint", ".", says="is not a regular file")
    t.path("dangling.yaml").symlink_to("nowhere")
    fails(t, 3, "run", "dangling.yaml", says="there is no such pipeline file")
    t.path("big.yaml").write_bytes(b"#" * 300_000)
    fails(t, 4, "run", "big.yaml", says="a pipeline file of 300000 bytes; the limit is 262144")
    t.path("bytes.yaml").write_bytes(bytes(range(256)))
    fails(t, 4, "lint", "bytes.yaml", says="bytes.yaml:1:1: a control character")


def test_json_errors(t):
    t.equal(t.json("lint", "nowhere.yaml", code=3)["error"]["code"], "not_found")


def test_a_full_disk_is_an_error(t):
    path = helpers.project(t)
    with open("/dev/full", "w") as full:
        run = t.run("lint", path, stdout=full, code=7)
    t.contains(run.err, "standard output could not be written")


def test_status_and_resume_of_nothing(t):
    path = helpers.project(t)
    fails(t, 3, "status", path, says="this pipeline has not been run here")
    for command in ["resume", "logs", "report"]:
        fails(t, 3, command, path, says="this pipeline has not been run here")
    fails(t, 3, "gc", path, says="there is no state folder")
    fails(t, 3, "verify", path, says="there is no lock file")
    t.check(not t.path(".apr").exists(), "looking made a state folder")


if __name__ == "__main__":
    framework.main(globals())
