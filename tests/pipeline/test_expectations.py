"""What people who know make, dvc or CI systems expect of a pipeline runner, on pipelines of their own."""
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as xml

import framework
from helpers import HEAD, digests, fails, project, states

IMPORT = '  import: {uses: import, with: {source: golden/apr-tiny-chat}}\n'
SHRINK = '  small: {uses: convert, with: {model: "${stages.import.output}", quantize: q4_0}, %s}\n'


def stage_of(report, name):
    return next(stage for stage in report["stages"] if stage["name"] == name)


def test_all_gates_are_measured_although_one_fails(t):
    gates = "gates: [{size: {max: 1KiB}}, {report: {ratio: '>= 2'}}, {size: {max: 1MiB}}]"
    path = project(t, HEAD + "stages:\n" + IMPORT + SHRINK % gates + "report: {junit: junit.xml}\n")
    fails(t, 5, "run", path, says="gate size failed: 2,302,788 bytes break the limit of 1,024")
    small = stage_of(t.json("status", path), "small")
    t.equal([gate["passed"] for gate in small["gates"]], [False, True, False])
    t.equal(len([case for case in xml.parse(t.path("junit.xml")).getroot().iter("testcase")
                 if case.get("classname") == "small"]), 4)


def test_what_failed_is_not_called_new(t):
    path = project(t, HEAD + "stages:\n" + IMPORT + SHRINK % "timeout: 5m"
                   + '  differ: {uses: diff, with: {a: "${stages.import.output}", b: "${stages.small.output}"}}\n')
    run = fails(t, 5, "run", path, says="apr-pipeline logs demo.yaml differ")
    t.contains(run.out, "never ran")
    plan = {stage["name"]: stage.get("reason") for stage in t.json("plan", path)["stages"]}
    t.equal(plan["differ"], "failed last time")
    # What the check found is in its log, and its process was measured.
    t.contains(t.ok("logs", path, "differ").out, "tensors differ")
    differ = stage_of(t.json("status", path), "differ")
    t.check(differ["peak_memory_bytes"] > 1 << 20, "the memory of a failed check", differ["peak_memory_bytes"])
    # Another stage that fails and then succeeds is new again.
    t.equal(states(t.json("run", path, "--keep-going", code=5))["differ"], "failed")


def test_plan_refuses_what_run_refuses(t):
    path = project(t, HEAD + "secrets: [TOKEN_OF_MINE]\nstages:\n" + IMPORT
                   + '  ask: {uses: run, with: {model: "${stages.import.output}", prompt: "${secrets.TOKEN_OF_MINE}"}}\n')
    for verb in ["plan", "run"]:
        fails(t, 2, verb, path, says="the secret 'TOKEN_OF_MINE' is not set")
    t.ok("plan", path, env={"TOKEN_OF_MINE": "quite a long secret"})
    inside = project(t, HEAD + "secrets: [TOKEN_OF_MINE]\nstages:\n"
                     '  import: {uses: import, with: {source: "golden/${secrets.TOKEN_OF_MINE}"}}\n', "path.yaml")
    run = t.run("lint", inside, code=2)
    t.contains(run.out + run.err, "not in a path")


def test_plan_tells_which_outputs_are_missing(t):
    path = project(t, HEAD + "stages:\n" + IMPORT + 'outputs: {model: {from: "${stages.import.output}", to: out/m.apr}}\n')
    t.ok("run", path)
    t.check("to be put at" not in t.ok("plan", path).out, "a place that is filled", "")
    t.path("out/m.apr").unlink()
    t.contains(t.ok("plan", path).out, "to be put at", "out/m.apr")
    t.equal([place["there"] for place in t.json("plan", path)["places"]], [False])
    t.equal(states(t.json("run", path)), {"import": "cached"})
    t.check(t.path("out/m.apr").exists(), "the output is back", "")


def test_plan_shows_the_limits_of_gates(t):
    path = project(t, HEAD + "params: {limit: {type: string, default: 1MiB}}\nstages:\n" + IMPORT + """\
  small:
    uses: convert
    matrix: {scheme: [q4_0], ratio: [1, 2]}
    with: {model: "${stages.import.output}", quantize: "${matrix.scheme}"}
    gates:
      - size: {of: "${stages.import.output}", max: "${params.limit}", max_ratio: 0.9}
      - report: {ratio: ">= ${matrix.ratio}"}
""")
    plan = t.json("plan", path, "--set", "limit=2MiB")
    gates = [[gate["gate"] for gate in stage["gates"]] for stage in plan["stages"]]
    size = "size: of ${stages.import.output}, max 2MiB, max_ratio 0.9"
    t.equal(gates, [[], [size, "report: ratio >= 1"], [size, "report: ratio >= 2"]])


def test_values_of_a_matrix_in_quotes(t):
    path = project(t, HEAD + "stages:\n" + IMPORT + """\
  small:
    uses: convert
    matrix: {scheme: [q8_0, q4_0], note: ["a b", "\\u00fc"], exclude: [{scheme: q8_0, note: "\\u00fc"}]}
    with: {model: "${stages.import.output}", quantize: "${matrix.scheme}"}
  look: {uses: inspect, needs: small, with: {model: "${stages.small[q4_0, 'a b'].output}"}}
  other: {uses: inspect, needs: look, with: {model: "${stages.small[q4_0, '\\u00fc'].output}"}}
""")
    report = t.json("run", path)
    t.equal(len(report["stages"]), 6)
    missing = project(t, path.read_text().replace("'a b'", "'a c'"), "missing.yaml")
    run = t.run("lint", missing, code=2)
    t.contains(run.out + run.err, "has no combination")
    # A mistake in a matrix is told once, not at each of its uses.
    broken = project(t, path.read_text().replace("exclude:", "include: [{scheme: f16}], exclude:"), "broken.yaml")
    found = t.json("lint", broken, code=2)["diagnostics"]
    t.equal([item["message"] for item in found if item["severity"] == "error"], ["this combination lacks 'note'"])


def test_retry_in_one_word(t):
    text = HEAD + "stages:\n" + IMPORT + """\
  measure:
    uses: eval
    timeout: 1ms
    retry: 2
    with: {model: "${stages.import.output}", dataset: golden/apr-tiny-chat/golden/eval.txt, backend: reference}
"""
    path = project(t, text)
    t.run("run", path, code=1)
    t.equal(stage_of(t.json("status", path), "measure")["attempts"], 3)
    path = project(t, text.replace("retry: 2", "retry: {count: 1}"), "map.yaml")
    t.run("run", path, code=1)
    t.equal(stage_of(t.json("status", path), "measure")["attempts"], 2)
    for wrong, says in [("retry: 11", "between 0 and 10"), ("timeout: 0s", "longer than nothing")]:
        run = t.run("lint", project(t, text.replace(wrong.split()[0] + (" 2" if "retry" in wrong else " 1ms"), wrong), "w.yaml"), code=2)
        t.contains(run.out + run.err, says)


def test_a_figure_that_is_not_there(t):
    path = project(t, HEAD + "stages:\n" + IMPORT + SHRINK % "gates: [{report: {ratoi: '>= 2'}}]")
    run = fails(t, 5, "run", path, says="the stage's report has no 'ratoi'")
    t.contains(run.err, "its figures:", "ratio")


def test_schema_refuses_what_lint_refuses(t):
    """As far as a schema can tell."""
    try:
        import jsonschema
        import yaml
    except ImportError:
        print("python3's jsonschema and yaml are not here: not checked against them")
        return
    schema = json.loads(t.ok("schema").out)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    for name in ["north-star", "ci", "quantizations"]:
        kind(schema).validate(yaml.safe_load((framework.SOURCE / "pipelines" / f"{name}.yaml").read_text()))
    good = "stages:\n" + IMPORT + SHRINK % "retry: 2, gates: [{size: {max: 4MiB}}]"
    kind(schema).validate(yaml.safe_load(HEAD + good))
    for was, now in [("small:", '"a b":'), ("retry: 2", "retry: 11"), ("retry: 2", "timeout: 0s"), ("max: 4MiB", ""),
                     ("with: {source: golden/apr-tiny-chat}", "description: x"), ("size:", "sizes:"),
                     ("retry: 2", "retries: 2"), ("quantize:", "quantise:")]:
        text = HEAD + good.replace(was, now, 1)
        t.check(not kind(schema).is_valid(yaml.safe_load(text)), f"the schema refuses {now!r}", text)
        t.run("lint", project(t, text, "wrong.yaml"), code=2)


def test_leftovers_whose_owner_dies_late_are_removed(t):
    path = project(t)
    tmp = t.path(".apr/tmp")
    (tmp / "dying").mkdir(parents=True)
    (tmp / "dying" / "file").write_text("x")
    lock = tmp / "dying.lock"
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = subprocess.Popen([framework.PROGRAM, "run", str(path)], stdout=subprocess.DEVNULL)
        while process.poll() is None and not list(t.path(".apr/runs").glob("*/events.jsonl")):
            time.sleep(0.002)
    t.equal(process.wait(), 0)
    t.equal(sorted(item.name for item in tmp.iterdir()), [])


def test_a_flipped_bit_in_the_cache_is_noticed(t):
    path = project(t)
    t.ok("run", path)
    wanted = digests(t.path("out"))
    entries = [item for item in t.path(".apr/cache").glob("*/output") if item.is_file()]
    for entry in entries:
        status = entry.stat()
        entry.chmod(0o644)
        # Written anew, so that what was published (a link to it) keeps its bytes; the times are made to agree.
        data = bytearray(entry.read_bytes())
        data[len(data) // 2] ^= 1
        entry.unlink()
        entry.write_bytes(data)
        os.utime(entry, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = t.json("run", path)
    t.check(sum(state == "ran" for state in states(report).values()) >= len(entries), "they are made again", states(report))
    t.equal(digests(t.path("out")), wanted)


def test_secrets_in_no_form_anywhere(t):
    secret = 'p"q\\r <&> \u00fc secret'
    path = project(t, HEAD + "secrets: [HIDDEN_ONE]\nstages:\n" + IMPORT + """\
  ask: {uses: run, with: {model: "${stages.import.output}", prompt: "say ${secrets.HIDDEN_ONE}", max-tokens: 4}}
  bad: {uses: tensors, allow_failure: true, with: {model: "${stages.import.output}", filter: "no ${secrets.HIDDEN_ONE}"}}
report: {junit: junit.xml, html: report.html}
""")
    run = t.run("run", path, "--events", "jsonl", env={"HIDDEN_ONE": secret})
    t.equal(run.code, 0)
    for line in run.out.splitlines():
        t.contains(json.loads(line), "event")
    forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1],
             secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), "<&> \u00fc secret", "&lt;&amp;&gt; \u00fc"}
    texts = [run.out, run.err, t.run("status", path, "--json").out, t.run("logs", path).out]
    texts += [item.read_bytes().decode("utf-8", "replace") for item in t.path(".").rglob("*")
              if item.is_file() and "golden" not in item.parts]
    for text in texts:
        t.check(not any(form in text for form in forms), "a secret was told", "")


def test_a_moved_or_copied_project_knows_its_outputs(t):
    path = project(t, folder=t.path("here"))
    t.ok("run", path)
    for place in ("copied", "moved"):
        if place == "copied":
            shutil.copytree(t.path("here"), t.path(place), symlinks=True)
        else:
            t.path("here").rename(t.path(place))
        t.ok("run", t.path(place) / "demo.yaml", "--set", "scheme=q8_0")
        small = t.path(place) / "out" / "small.apr"
        small.unlink()
        small.write_text("mine")
        fails(t, 5, "run", t.path(place) / "demo.yaml", says="holds something else")


def test_every_signal_stops_the_stage_too(t):
    text = HEAD + "stages:\n" + IMPORT + """\
  measure: {uses: eval, with: {model: "${stages.import.output}", dataset: long.txt, backend: reference}}
"""
    path = project(t, text)
    t.path("long.txt").write_text((framework.BUNDLED / "golden" / "eval.txt").read_text() * 50)
    for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
        before = set(t.path(".apr").glob("runs/*"))
        process = subprocess.Popen([framework.PROGRAM, "run", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            logs = [item for item in t.path(".apr").glob("runs/*/events.jsonl") if item.parent not in before]
            if any(re.search(r'"work_started".*"measure"', item.read_text()) for item in logs):
                break
            time.sleep(0.01)
        process.send_signal(number)
        t.equal(process.wait(), 130, f"after signal {number}")
        t.equal(list(t.path(".apr/tmp").iterdir()), [], "nothing is left behind")


framework.main(globals())
