"""kill -9 at any moment, then go on: the same bytes in the end, and nothing left behind.

    APR=build/release/bin/apr-pipeline PYTHONPATH=tests/cli ROUNDS=10 python3 tests/pipeline/test_kill.py
"""
import os
import random
import signal
import subprocess
import time

import framework
from helpers import digests, project, states

ROUNDS = int(os.environ.get("ROUNDS", "2"))
SEED = int(os.environ.get("SEED", "20240817"))


def start(path):
    return subprocess.Popen([framework.PROGRAM, "run", str(path)], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True)


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


def test_ctrl_c(t):
    path = project(t)
    process = start(path)
    began = time.monotonic()
    while not (t.path(".apr") / "tmp").exists() and time.monotonic() - began < 20:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGINT)
    code = process.wait(timeout=60)
    t.check(code in (0, 130), f"exit code {code}")
    t.equal(strays(t.folder), [], "what was left behind")
    t.equal(t.run("run", path).code, 0)


def test_two_runs_at_once_share_a_state_folder(t):
    path = project(t)
    both = [start(path), start(path)]
    t.equal([p.wait(timeout=120) for p in both], [0, 0], "exit codes")
    t.equal(strays(t.folder), [], "what was left behind")
    t.equal(set(states(t.json("run", path)).values()), {"cached"})


if __name__ == "__main__":
    framework.main(globals())
