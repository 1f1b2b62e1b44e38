"""Matrices, attempts, time limits, secrets, events and reports on real stages."""
import json
import os
import shutil
import subprocess
import xml.etree.ElementTree

import framework
from helpers import HEAD, digests, fails, project, states

PIPELINES = framework.SOURCE / "pipelines"


def shipped(t, name):
    """A pipeline of the project in a folder of its own, with a small text so that measuring is quick."""
    (t.folder / "golden").symlink_to(framework.SOURCE / "golden")
    whole = (framework.BUNDLED / "golden" / "eval.txt").read_text()
    t.path("text.txt").write_text(whole[:len(whole) // 8])
    path = project(t, (PIPELINES / name).read_text(), name=name, folder=t.path("pipelines"))
    return path, ["--set", "text=text.txt"]


def test_quantizations(t):
    path, words = shipped(t, "quantizations.yaml")
    report = t.json("run", path, *words)
    t.equal(set(states(report).values()), {"ran"})
    schemes = ["f32", "f16", "q8_0", "q4_0"]
    t.equal([n for n in states(report) if n.startswith("shrink")], [f"shrink[{s}]" for s in schemes])
    t.equal(sorted(p.name for p in t.path("out/quantizations").iterdir()),
            sorted([f"model-{s}.apr" for s in schemes] + ["report.html"]))
    table = report["tables"][0]
    t.equal([row[0] for row in table["rows"]], schemes)
    sizes = [row[1] for row in table["rows"]]
    t.equal(sizes, [t.path(f"out/quantizations/model-{s}.apr").stat().st_size for s in schemes])
    t.check(sizes == sorted(sizes, reverse=True), f"sizes do not fall: {sizes}")
    kld = {row[0]: row[4] for row in table["rows"]}
    t.check(kld["f32"] <= kld["q8_0"] < kld["q4_0"], f"divergences: {kld}")
    page = t.path("out/quantizations/report.html").read_text()
    t.contains(page, "<svg", "Size and quality", "mean KLD", "measure[q4_0]")
    # One scheme that is too coarse is told, and stops nothing.
    strict = t.json("run", path, *words, "--set", "max_kld=0.000001")
    t.equal(states(strict)["measure[q4_0]"], "failed")
    t.equal((strict["ok"], strict["stages"][[*states(strict)].index("measure[q4_0]")]["allowed"]), (True, True))


def test_ci(t):
    path, words = shipped(t, "ci.yaml")
    t.ok("run", path, *words, "--no-lock", "--set", "max_ratio=1.2")
    suites = xml.etree.ElementTree.parse(t.path("out/ci/junit.xml")).getroot()
    t.equal((suites.tag, suites.get("tests"), suites.get("failures")), ("testsuites", "8", "0"))
    names = [case.get("name") for case in suites.iter("testcase")]
    t.contains(" ".join(names), "gate 1 golden-trace", "gate 2 tokenizer-parity", "gate 2 perplexity")
    # The same with a limit that cannot hold: CI sees which gate it was.
    fails(t, 5, "run", path, *words, "--no-lock", "--set", "max_ratio=1", says="gate perplexity failed")
    suites = xml.etree.ElementTree.parse(t.path("out/ci/junit.xml")).getroot()
    t.equal(suites.get("failures"), "1")
    failed = [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None]
    t.equal(failed, ["gate 2 perplexity"])
    # A tokenizer that is not the recorded one.
    wrong = json.loads((framework.BUNDLED / "golden" / "tokenizer_golden.json").read_text())
    wrong["strings"][5]["ids"] = [1, 2, 3]
    t.path("wrong.json").write_text(json.dumps(wrong))
    run = fails(t, 5, "run", path, *words, "--no-lock", "--set", "tokens=wrong.json",
                says="gate tokenizer-parity failed: mismatches 1 breaks the limit")
    t.path("wrong.json").write_text("[]")
    fails(t, 5, "run", path, *words, "--no-lock", "--set", "tokens=wrong.json", says="the reference holds no texts")


def test_canary(t):
    path = project(t, HEAD + """\
stages:
  import:
    uses: import
    with: {source: source}
    gates: [{canary: {canary: canary.json}}]
  shrink:
    uses: convert
    with: {model: "${stages.import.output}", quantize: int8}
    gates: [{canary: {canary: canary.json, type_aware: true}}]
""")
    shutil.copytree(framework.BUNDLED, t.path("source"), ignore=shutil.ignore_patterns("golden"))
    for words in [("import", framework.BUNDLED, "-o", t.path("tiny.apr")),
                  ("canary", "create", t.path("tiny.apr"), "-o", t.path("canary.json"))]:
        subprocess.run([os.path.join(os.path.dirname(framework.PROGRAM), "apr"), *words], check=True, capture_output=True)
    t.equal(set(states(t.json("run", path)).values()), {"ran"})
    # One changed weight in one tensor is found and named.
    weights = t.path("source") / "model.safetensors"
    data = bytearray(weights.read_bytes())
    size = int.from_bytes(data[:8], "little")
    name = "model.layers.2.mlp.up_proj.weight"
    data[8 + size + json.loads(data[8:8 + size])[name]["data_offsets"][0]] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(data)
    fails(t, 5, "run", path, "--no-lock", says=["gate canary failed", name])


def test_time_limits_and_attempts(t):
    path = project(t, HEAD + """\
stages:
  import: {uses: import, with: {source: golden/apr-tiny-chat}}
  slow:
    uses: eval
    with: {model: "${stages.import.output}", dataset: long.txt}
    timeout: 300ms
    retry: {count: 2, delay: 10ms, after: timeout}
""")
    t.path("long.txt").write_text((framework.BUNDLED / "golden" / "eval.txt").read_text() * 200)
    run = fails(t, 1, "run", path, says="stage 'slow': took longer than its timeout of 0.3 s (in attempt 3)")
    t.equal(run.out.count("; once more in 10"), 2, "attempts that were told")
    t.equal(list(t.path(".apr/tmp").iterdir()), [], "what was left behind")
    slow = t.json("status", path)["stages"][1]
    t.equal((slow["attempts"], len(slow["logs"])), (3, 3))


def test_events(t):
    path = project(t)
    run = t.ok("run", path, "--events", "jsonl")
    events = [json.loads(line) for line in run.out.splitlines()]
    kinds = [event["event"] for event in events]
    t.equal((kinds[0], kinds[-1]), ("run_started", "run_finished"))
    t.equal(kinds.count("stage_finished"), 6)
    t.equal(kinds.count("published"), 2)
    t.equal(events[-1]["exit_code"], 0)
    kept = next(t.path(".apr/runs").iterdir()) / "events.jsonl"
    told = sorted(json.loads(line)["event"] for line in kept.read_text().splitlines())
    t.equal([kind for kind in told if kind != "progress"], sorted(kind for kind in kinds if kind != "progress"))


def test_stages_see_only_what_they_may(t):
    """The environment of a stage's process, seen from outside while it runs."""
    import subprocess
    import time
    path = project(t, HEAD + """\
env: [APR_TEST_SEEN]
stages:
  import: {uses: import, with: {source: golden/apr-tiny-chat}}
  slow: {uses: eval, with: {model: "${stages.import.output}", dataset: long.txt}, timeout: 20s, needs: import}
""")
    t.path("long.txt").write_text((framework.BUNDLED / "golden" / "eval.txt").read_text() * 200)
    environment = dict(os.environ, APR_TEST_SEEN="yes", APR_TEST_HIDDEN="no", AWS_SECRET_ACCESS_KEY="no")
    process = subprocess.Popen([framework.PROGRAM, "run", str(path)], env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    seen = None
    while process.poll() is None and seen is None:
        for child in (f"/proc/{process.pid}/task/{task}/children" for task in os.listdir(f"/proc/{process.pid}/task")):
            try:
                for pid in open(child).read().split():
                    command = open(f"/proc/{pid}/cmdline").read()
                    if "stage-worker" in command:
                        seen = open(f"/proc/{pid}/environ").read()
            except OSError:
                pass
        time.sleep(0.005)
    process.terminate()
    process.wait(timeout=60)
    t.check(seen is not None, "no stage was seen")
    t.contains(seen, "APR_TEST_SEEN=yes")
    t.lacks(seen, "APR_TEST_HIDDEN", "AWS_SECRET_ACCESS_KEY")


def test_secrets_are_nowhere(t):
    path = project(t, HEAD + """\
secrets: [APR_TEST_PASSWORD]
stages:
  import: {uses: import, with: {source: golden/apr-tiny-chat}}
  ask: {uses: run, with: {model: "${stages.import.output}", prompt: "say ${secrets.APR_TEST_PASSWORD}"}}
  lost: {uses: inspect, with: {model: "${stages.import.output}"}, when: "true"}
""")
    fails(t, 2, "run", path, says="the secret 'APR_TEST_PASSWORD' is not set")
    secret = "correct-horse-battery"
    run = t.run("run", path, "--events", "jsonl", env={"APR_TEST_PASSWORD": secret}, code=0)
    t.lacks(run.out + run.err, secret)
    found = [p for p in t.folder.rglob("*") if p.is_file() and "golden" not in p.parts and secret.encode() in p.read_bytes()]
    t.equal(found, [], "files with the secret")


def test_preflight_of_places(t):
    path = project(t)
    t.path("out").mkdir()
    t.path("out/small.apr").write_text("precious")
    run = fails(t, 5, "plan", path, says=["demo.yaml:", "the place of output 'small' holds something else"])
    fails(t, 5, "run", path, says=["the place of output 'small' holds something else", "--force"])
    t.check(not t.path(".apr/cache").exists() or not list(t.path(".apr/cache").iterdir()), "work was done", run)
    t.ok("run", path, "--force")
    t.equal(states(t.json("run", path))["small"], "cached")
    t.path("demo.yaml").write_text(path.read_text().replace("name: demo\n", "name: demo\nresources: {disk: 1MiB}\n"))
    fails(t, 5, "run", path, "--set", "scheme=q8_0", says="of disk; the pipeline may take 1.05 MB")


if __name__ == "__main__":
    framework.main(globals())
