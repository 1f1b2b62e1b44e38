"""kill -9 at any moment, then go on: the same bytes in the end, and nothing left behind.

    APR=build/release/bin/apr-pipeline PYTHONPATH=tests/cli ROUNDS=50 python3 tests/pipeline/test_kill.py
"""
import os
import pathlib
import random
import signal
import subprocess
import time

import framework
from helpers import DEMO, HEAD, digests, project, states

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SEED = int(os.environ.get("SEED", "20240817"))


def start(path, *words):
    return subprocess.Popen([framework.PROGRAM, "run", str(path), *words], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, start_new_session=True)


def strays(folder):
    """What no finished run leaves: temporary folders, locks of owners, half-written files."""
    found = [p for p in (folder / ".apr" / "tmp").iterdir()]
    return found + [p for p in folder.rglob("*") if ".apr-tmp" in p.name]


def test_kill_and_resume_rounds(t):
    random.seed(SEED)
    whole = project(t, folder=t.path("undisturbed"))
    began = time.monotonic()
    t.ok("run", whole)
    seconds = time.monotonic() - began
    wanted = digests(t.path("undisturbed") / "out")
    lock = (t.path("undisturbed") / "demo.lock").read_bytes()
    for round_number in range(ROUNDS):
        folder = t.path(f"round{round_number}")
        path = project(t, folder=folder)
        kills = []
        for _ in range(random.randint(1, 3)):
            process = start(path)
            delay = random.uniform(0, seconds * 0.9)
            try:
                process.wait(timeout=delay)
                kills.append("ended")
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                kills.append(f"{delay * 1000:.0f} ms")
        # Killed before it had made its record, there is nothing to resume: that is said, and run does it.
        resumed = t.run("resume", path)
        if resumed.code == 3:
            resumed = t.run("run", path)
        t.check(resumed.code == 0, f"round {round_number}, killed after {kills}", resumed)
        t.equal(digests(folder / "out"), wanted, f"what round {round_number} (killed after {kills}) made")
        t.equal((folder / "demo.lock").read_bytes(), lock, "the lock file")
        t.equal(strays(folder), [], "what was left behind")
        again = t.json("run", path)
        t.equal(set(states(again).values()), {"cached"}, "the next run")
        print(f"round {round_number}: killed after {', '.join(kills)}: same bytes")


LONG = HEAD + """\
stages:
  import: {uses: import, with: {source: golden/apr-tiny-chat}}
  measure: {uses: eval, with: {model: "${stages.import.output}", dataset: long.txt}}
"""


def runs(folder):
    return sorted((folder / ".apr" / "runs").glob("*/events.jsonl"))


def events(folder, before):
    """What the run that goes on has told so far; `before` are the runs that ended."""
    files = [file for file in runs(folder) if file not in before]
    return files[-1].read_text() if files else ""


def wait_for_work(folder, process, before=()):
    """Until the measurement, which takes far longer than any test, has begun."""
    while not any('"event":"work_started"' in line and '"stage":"measure"' in line
                  for line in events(folder, before).splitlines()):
        if process.poll() is not None:
            raise framework.Failure("the run ended before it could be stopped")
        time.sleep(0.01)


def long_project(t):
    path = project(t, LONG)
    t.path("long.txt").write_text((framework.BUNDLED / "golden" / "eval.txt").read_text() * 200)
    return path


def children_of(pid):
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            if f"PPid:\t{pid}\n" in status.read_text():
                found.append(int(status.parent.name))
        except OSError:
            pass
    return found


def test_ctrl_c(t):
    for signal_number in [signal.SIGINT, signal.SIGTERM]:
        path = long_project(t)
        before = runs(t.folder)
        process = start(path)
        wait_for_work(t.folder, process, before)
        os.kill(process.pid, signal_number)
        t.equal(process.wait(timeout=60), 130, "exit code")
        t.equal(strays(t.folder), [], "what was left behind")
        status = t.json("status", path)
        t.equal((status["state"], states(status)), ("interrupted", {"import": status["stages"][0]["state"],
                                                                    "measure": "failed"}))
        t.contains(t.ok("status", path).out, "resume")


def test_a_killed_run_takes_its_stages_with_it(t):
    path = long_project(t)
    process = start(path)
    wait_for_work(t.folder, process)
    children = children_of(process.pid)
    t.check(len(children) == 1, f"one stage runs, found {children}")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    while any(pathlib.Path(f"/proc/{child}").exists() and
              "State:\tZ" not in pathlib.Path(f"/proc/{child}/status").read_text() for child in children):
        t.check(time.monotonic() - began < 30, "the stage lives on")
        time.sleep(0.02)
    t.equal(t.json("status", path)["state"], "killed")


def test_runs_at_once_share_a_state_folder(t):
    for round_number in range(3):
        text = DEMO + "report: {html: out/report.html, junit: out/junit.xml}\n"
        path = project(t, text, folder=t.path(f"round{round_number}"))
        # Two kinds of runs, whose results belong to the same place.
        runs = [start(path, "--set", f"scheme={scheme}") for scheme in ["q4_0", "q8_0"] * 4]
        errors = [run.communicate(timeout=120)[1].decode() for run in runs]
        t.equal([run.returncode for run in runs], [0] * len(runs), "exit codes" + "".join(errors))
        t.equal(strays(path.parent), [], "what was left behind")
        for scheme in ["q4_0", "q8_0"]:
            t.equal(set(states(t.json("run", path, "--set", f"scheme={scheme}")).values()), {"cached"})


if __name__ == "__main__":
    framework.main(globals())
