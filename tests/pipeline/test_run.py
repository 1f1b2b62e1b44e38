"""Real runs on the bundled model: cache, changes, folders, threads, resume, lock, gates."""
import json
import shutil

import framework
import helpers
from helpers import DEMO, digests, fails, project, states

ALL = ["import", "look", "small", "half", "check", "back"]


def test_second_run_is_all_cache_and_changes_reach_descendants_only(t):
    path = project(t)
    first = t.json("run", path)
    t.equal(states(first), {name: "ran" for name in ALL})
    t.equal(sorted(digests(t.path("out")))[-1], "small.apr")
    made = digests(t.path("out"))
    t.equal(made["small.apr"], first["outputs"]["small"]["sha256"])
    second = t.json("run", path)
    t.equal(states(second), {name: "cached" for name in ALL})
    t.equal(digests(t.path("out")), made)
    third = t.json("run", path, "--set", "scheme=q8_0")
    t.equal(states(third), {"import": "cached", "look": "cached", "small": "ran", "half": "cached", "check": "ran",
                            "back": "cached"})
    reasons = {stage["name"]: stage.get("reason") for stage in third["stages"]}
    t.equal(reasons["small"], "parameter 'quantize' changed from \"q4_0\" to \"q8_0\"")
    t.equal(reasons["check"], "input 'model' changed")
    t.equal(states(t.json("run", path)), {name: "cached" for name in ALL})
    t.equal(digests(t.path("out")), made)


def test_same_digests_from_another_folder_and_thread_count(t):
    found = []
    for folder, words in [("one", ["-j", "1"]), ("two/deeper", ["-j", "4"]), ("three", ["--threads", "1"])]:
        path = project(t, folder=t.path(folder))
        report = t.json("run", path, *words)
        found.append((report["outputs"]["small"]["sha256"], report["outputs"]["back"]["sha256"],
                      [stage["key"] for stage in report["stages"]], digests(t.path(folder) / "out")))
    t.equal(found[1], found[0])
    t.equal(found[2], found[0])


def test_lines_for_people(t):
    path = project(t)
    run = t.ok("run", path)
    t.contains(run.out, "import  ran", "small   ran", "(never ran)", "→ small", "done after", "6 ran")
    t.lacks(run.out + run.err, "\x1b")
    again = t.ok("run", path)
    t.contains(again.out, "import  cached", "6 cached", "(unchanged)")


def test_plan(t):
    path = project(t)
    plan = t.json("plan", path)
    t.equal([s["action"] for s in plan["stages"]], ["run"] * 6)
    t.equal(plan["stages"][0]["reason"], "never ran")
    t.check(not t.path(".apr").exists(), "plan made a state folder")
    t.ok("run", path)
    t.equal({s["action"] for s in t.json("plan", path)["stages"]}, {"cached"})
    changed = {s["name"]: s for s in t.json("plan", path, "--set", "scheme=q8_0")["stages"]}
    t.equal(changed["small"]["reason"], "parameter 'quantize' changed from \"q4_0\" to \"q8_0\"")
    t.equal(changed["check"]["reason"], "depends on 'small', which has to run first")
    t.equal(changed["half"]["action"], "cached")
    t.contains(t.ok("plan", path).out, "6 cached, 0 to run, 0 skipped")
    page = t.ok("plan", path, "--set", "scheme=q8_0").out
    t.contains(page, "about memory", "a run needs about", "of disk")


def test_inputs_that_are_not_there(t):
    path = project(t)
    for command in ["plan", "run"]:
        run = fails(t, 3, command, path, "--set", "source=nowhere",
                    says=["demo.yaml:8:", "stage 'import'", "no such file or folder"])
        run = fails(t, 9, command, path, "--set", "source=hf://Qwen/Qwen2-0.5B",
                    says=["sources of the form hf:// cannot be opened",
                          "the hub importer is not part of this version yet"])
    t.check(not t.path("out").exists(), "something was made", run)


def test_resume_and_status(t):
    path = project(t)
    t.ok("run", path, "--set", "scheme=q8_0")
    t.equal(states(t.json("resume", path)), {name: "cached" for name in ALL})
    status = t.json("status", path)
    t.equal((status["state"], status["set"]), ("ok", {"scheme": "q8_0"}))
    t.equal(states(t.json("resume", path, "--set", "scheme=q4_0"))["small"], "ran")
    page = t.ok("status", path).out
    t.contains(page, "with scheme = q4_0", "import", "convert")


def test_set_paths_are_relative_to_the_current_folder(t):
    folder = t.path("project")
    path = project(t, folder=folder)
    shutil.copytree(framework.BUNDLED, t.path("mine"))
    t.equal(t.json("run", path, "--set", "source=mine")["ok"], True)
    # ... and a later resume from elsewhere means the same folder.
    t.equal(states(t.json("resume", "project/demo.yaml"))["import"], "cached")


def test_lock(t):
    path = project(t)
    t.ok("run", path)
    lock = json.loads(t.path("demo.lock").read_text())
    t.check("golden/apr-tiny-chat" in lock["inputs"], f"the source is not locked: {lock}")
    t.check(any("block" in plugin["plugin"] for plugin in lock["plugins"].values()), f"no plugin is locked: {lock}")
    t.ok("run", path, "--locked")
    fails(t, 5, "run", path, "--locked", "--set", "scheme=q8_0", says="--locked refuses a difference: parameter scheme")
    lock["inputs"]["golden/apr-tiny-chat"] = "0" * 64
    t.path("demo.lock").write_text(json.dumps(lock))
    fails(t, 5, "run", path, "--locked", says="--locked refuses a difference: input golden/apr-tiny-chat")
    t.path("demo.lock").unlink()
    t.ok("run", path, "--no-lock")
    t.check(not t.path("demo.lock").exists(), "--no-lock wrote one")


def test_a_failed_gate_publishes_nothing(t):
    text = DEMO.replace("quantize: \"${params.scheme}\"}}",
                        "quantize: \"${params.scheme}\"}, gates: {size: {max: 1MiB}}}")
    path = project(t, text)
    run = fails(t, 5, "run", path, says=["stage 'small'", "gate size failed", "break the limit of 1,048,576"])
    t.contains(run.out, "✗ gate size", "cancelled")
    t.check(not (t.path("out") / "small.apr").exists(), "the output was published", run)
    report = t.json("run", path, code=5)
    t.equal(states(report)["import"], "cached")
    t.equal(states(report)["check"], "cancelled")
    gate = next(s for s in report["stages"] if s["name"] == "small")["gates"][0]
    t.equal((gate["passed"], gate["evidence"]["bytes_limit"]), (False, 1048576))
    t.equal(t.json("status", path)["state"], "failed")


def test_broken_models_stop_the_line(t):
    bad = t.path("bad")
    shutil.copytree(framework.BUNDLED, bad)
    weights = bad / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    path = project(t)
    run = fails(t, 4, "run", path, "--set", "source=bad", says="stage 'import'")
    t.check(not t.path("out").exists(), "something was made", run)
    t.equal(list(t.path(".apr/tmp").iterdir()), [])


if __name__ == "__main__":
    framework.main(globals())
