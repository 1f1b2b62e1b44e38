"""Provokes every error of the catalogue with the real programs and keeps what they say in docs/errors.md.

    python3 tests/errors/errors.py --programs build/release/bin            # compares; a test does this
    python3 tests/errors/errors.py --programs build/release/bin --write    # writes docs/errors.md anew
    python3 tests/errors/errors.py --programs build/release/bin --show TEXT  # runs the entries that hold TEXT

Three more things are checked: every exit code and every verb has an entry; and every place in the sources that makes
an error is provoked by an entry or named in not_provoked.txt with the reason why no entry can (see sites.py).
"""
import argparse
import concurrent.futures
import ctypes
import difflib
import importlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(PROJECT / "tests" / "cli")]
sys.dont_write_bytecode = True
os.environ.setdefault("APR_SOURCE_DIR", str(PROJECT))

import fixtures  # noqa: E402
import sites  # noqa: E402
from catalogue import AREAS  # noqa: E402
from document import document  # noqa: E402

DOCUMENT = PROJECT / "docs" / "errors.md"
NOT_PROVOKED = HERE / "not_provoked.txt"
AGAIN = "python3 tests/errors/errors.py --programs BUILD/bin --write"
LONGEST = 40  # lines that an entry may show


def all_cases():
    cases = []
    for name in AREAS:
        module = importlib.import_module(f"catalogue.{name}")
        for entry in module.CASES:
            entry.area = module.TITLE
            cases.append(entry)
    return cases


class Runner:
    def __init__(self, programs, base):
        self.programs = pathlib.Path(programs).resolve()
        self.base = pathlib.Path(base)
        version = json.loads(subprocess.run([self.programs / "apr", "--version", "--json"], stdout=subprocess.PIPE,
                                            check=True).stdout)
        self.build = version["build"]
        fixtures.prepare(self.programs, self.base)

    def environment(self, folder):
        kept = {name: os.environ[name] for name in ("APR_CPU",) if name in os.environ}
        return {**kept, "PATH": f"{self.programs}:{os.environ.get('PATH', '/usr/bin:/bin')}", "HOME": str(folder),
                "LC_ALL": "C.UTF-8", "COLUMNS": "100", "MODEL": str(fixtures.BUNDLED), "PLUGINS": str(self.plugins())}

    def plugins(self):
        return self.programs.parent / "lib" / "apr" / "plugins"

    def run(self, number, entry):
        """(exit code, text) of one entry, run in a fresh folder."""
        folder = self.base / f"{number:04}"
        folder.mkdir()
        try:
            for make in entry.prepare:
                make(folder)
        except Exception:
            return None, f"it could not be prepared\n{traceback.format_exc()}"
        options = {}
        if entry.person and os.geteuid() == 0:
            options = {"preexec_fn": like_anybody}
        child = subprocess.Popen(["bash", "-o", "pipefail", "-c", entry.command], cwd=folder,
                                 stdin=subprocess.PIPE if entry.interrupt else subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=self.environment(folder), start_new_session=True, **options)
        try:
            if entry.interrupt:
                press_ctrl_c(child)
            out, err = child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return None, "it was still running after a minute"
        text = {"err": err, "out": out, "both": out + err}[entry.says].decode("utf-8", "replace")
        shutil.rmtree(folder, ignore_errors=True)
        return child.returncode, self.normal(text, folder, entry)

    def normal(self, text, folder, entry):
        """The text as it would be on any machine."""
        for there, here in ((str(folder), "/home/you"), (str(self.plugins()), "/usr/lib/apr/plugins"),
                            (str(self.programs), "/usr/bin"), (str(fixtures.BUNDLED), "golden/apr-tiny-chat"),
                            (self.build, "COMPILER")):
            text = text.replace(there, here)
        for expression, replacement in entry.hide:
            text = re.sub(expression, replacement, text, flags=re.M)
        return "\n".join(line.rstrip() for line in text.rstrip("\n").split("\n"))


LIBC = ctypes.CDLL(None, use_errno=True)


def like_anybody():
    """Root stays root, but permissions hold: no capability survives the exec that follows."""
    PR_CAPBSET_DROP = 24
    for capability in range(64):
        if LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            return


def press_ctrl_c(child):
    """SIGINT as soon as the program has said that it minds it."""
    mask = 1 << (signal.SIGINT - 1)
    for _ in range(600):
        for pid in [child.pid, *children_of(child.pid)]:
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", status, re.M)
            if re.search(r"^Name:\s*apr", status, re.M) and caught and int(caught.group(1), 16) & mask:
                time.sleep(0.3)
                try:
                    os.kill(pid, signal.SIGINT)
                except ProcessLookupError:  # it has ended by itself, which its exit code tells
                    pass
                return
        time.sleep(0.05)


def children_of(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def run_all(runner, cases, jobs):
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(runner.run, range(len(cases)), cases))


def complaints_about(cases, results):
    """What no entry may do: another exit code, a crash, an error that does not look like one."""
    for entry, (code, text) in zip(cases, results):
        where = f"{entry.wrong}\n  $ {entry.command}\n"
        if code != entry.code:
            yield f"{where}exit code {code}, wanted {entry.code}\n{text}"
        elif "terminate called" in text or "Sanitizer" in text or re.search(r"\bstd::|what\(\)", text):
            yield f"{where}that is a crash, or C++ shows through\n{text}"
        elif not text.strip():
            yield f"{where}nothing is said"
        elif text.count("\n") >= LONGEST:
            yield f"{where}{text.count(chr(10)) + 1} lines are too many for this document"
        elif re.search(r"\n *hint:", text) is None and code not in (5, 130) and entry.says == "err" and \
                re.search(r"error: *$", text, re.M):
            yield f"{where}there is no sentence\n{text}"


def verbs_of(programs):
    """What must have an entry: every verb of apr, every command of apr-pipeline, apr-runtime."""
    known = json.loads(subprocess.run([programs / "apr", "help", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    page = subprocess.run([programs / "apr-pipeline", "--help"], stdout=subprocess.PIPE, check=True).stdout.decode()
    commands = re.findall(r"^  (\w+) {2,}\S", page, re.M)
    return [f"apr {verb['name']}" for verb in known["verbs"]] + [f"apr-pipeline {name}" for name in commands] + \
        ["apr-runtime"]


def missing_entries(programs, cases):
    """Verbs and exit codes without an entry, and exit codes that nothing makes but that have a place in the sources."""
    commands = "\n".join(entry.command for entry in cases if entry.code != 0)
    for verb in verbs_of(programs):
        if not re.search(rf"(^|[\s;|(])(?:\S*/)?{re.escape(verb)}(?=\s|$)", commands, re.M):
            yield f"no entry provokes an error of `{verb}`"
    header = (PROJECT / "core" / "base" / "error.h").read_text(encoding="utf-8")
    codes = re.findall(r"^  (\w+) = (\d+),", header, re.M)
    if len(codes) < 10:
        yield "the exit codes were not found in core/base/error.h"
    provoked = {entry.code for entry in cases}
    made = {code for _, _, code, _ in sites.sites(PROJECT)}
    for name, number in codes:
        if int(number) not in provoked and (name in made or name not in UNREACHABLE):
            yield f"no entry ends with exit code {number} ({name})"
    for number in sorted(provoked - {int(number) for _, number in codes} - {0}):  # 0: what is warned of
        yield f"an entry ends with exit code {number}, which is none of core/base/error.h"


# Codes for a network that no program of this version uses; a place in the sources that makes one needs an entry.
UNREACHABLE = {"network", "http_not_found"}


def read_not_provoked():
    """{(file, text)} of not_provoked.txt: under a line `[why]` come lines `file: text`, or `file: *`."""
    listed, reason = {}, ""
    for number, line in enumerate(NOT_PROVOKED.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("["):
            reason = line.strip("[]")
        else:
            file, _, text = line.partition(": ")
            listed[(file, text)] = (number, reason)
    return listed


def unlisted_sites(texts):
    """Places that make errors, are not provoked by an entry and are not excused; and excuses that are no longer true."""
    printed = "\n".join(texts)
    listed = read_not_provoked()
    seen, provoked = set(), {}
    for file, line, _, pieces in sites.sites(PROJECT):
        key = (file, sites.key_of(pieces))
        seen |= {key, (file, "*")}
        provoked[key] = provoked.get(key, True) and sites.appears(pieces, printed)
        if not provoked[key] and key not in listed and (file, "*") not in listed:
            yield f"{file}:{line}: no entry provokes this error: {key[1]}"
    for (file, text), (number, _) in listed.items():
        place = f"tests/errors/not_provoked.txt:{number}: {file}"
        if (file, text) not in seen:
            yield f"{place} makes no such error (any longer): {text}"
        elif provoked.get((file, text)):
            yield f"{place}: an entry provokes this error now; remove the line: {text}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--show")
    parser.add_argument("--sites", action="store_true", help="list the places that no entry provokes")
    parser.add_argument("--jobs", type=int, default=max(2, os.cpu_count() or 1))
    options = parser.parse_args()
    cases = all_cases()
    if options.show is not None:
        cases = [entry for entry in cases if options.show in entry.wrong + entry.command + entry.area]
    with tempfile.TemporaryDirectory(prefix="apr-errors-") as base:
        os.chmod(base, 0o755)
        runner = Runner(options.programs, base)
        results = run_all(runner, cases, options.jobs)
    problems = list(complaints_about(cases, results))
    if options.show is not None:
        for entry, (code, text) in zip(cases, results):
            print(f"# {entry.wrong}\n$ {entry.command}\n{text}\n[{code}]{'' if code == entry.code else '   WANTED ' + str(entry.code)}\n")
        return 0
    if options.sites:
        known = read_not_provoked() if NOT_PROVOKED.exists() else {}
        printed = "\n".join(text for _, text in results)
        for file, line, code, pieces in sites.sites(PROJECT):
            if not sites.appears(pieces, printed) and (file, sites.key_of(pieces)) not in known:
                print(f"{file}: {sites.key_of(pieces)}")
        return 0
    problems += missing_entries(runner.programs, cases)
    problems += unlisted_sites([text for _, text in results])
    text = document(cases, [text for _, text in results], PROJECT)
    if options.write:
        DOCUMENT.write_text(text, encoding="utf-8")
    else:
        before = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
        difference = list(difflib.unified_diff(before.splitlines(), text.splitlines(), "docs/errors.md", "what is said now",
                                               lineterm=""))
        if difference:
            problems.append("\n".join(difference) + f"\n\nIf the new texts are meant: {AGAIN}")
    for problem in problems:
        print(problem, end="\n\n")
    print(f"{len(cases)} errors provoked, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
