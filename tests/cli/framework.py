"""A small frame for tests of the program `apr`.

A test file defines functions `test_...(t)` and ends with `framework.main(globals())`. Every function gets a fresh
`Test` with its own empty folder. Run one by hand:

    APR=build/release/bin/apr python3 tests/cli/test_help.py [part of a function's name]
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import traceback

SOURCE = pathlib.Path(os.environ.get("APR_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
SHARED = pathlib.Path(os.environ.get("APR_SHARED_DATA", SOURCE.parent / "shared" / "data"))
PROGRAM = os.path.abspath(os.environ.get("APR", SOURCE / "build" / "release" / "bin" / "apr"))
BUNDLED = SOURCE / "golden" / "apr-tiny-chat"


class Failure(Exception):
    pass


class Skip(Exception):
    pass


class Run:
    """What one call of the program did."""

    def __init__(self, words, code, out, err):
        self.words, self.code, self.out, self.err = words, code, out, err

    def __str__(self):
        return (f"command: apr {' '.join(map(str, self.words))}\nexit code: {self.code}\n"
                f"standard output:\n{self.out}\nstandard error:\n{self.err}")

    def json(self):
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise Failure(f"standard output is not one JSON document ({error})\n{self}")


class Test:
    _imported = None

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def run(self, *words, stdin="", env=None, stdout=None, code=None):
        """Runs `apr WORDS...` in the test's folder. `code` is the exit code it must have."""
        environment = dict(os.environ, COLUMNS="80", LC_ALL="C.UTF-8")
        environment.pop("NO_COLOR", None)
        environment.update(env or {})
        done = subprocess.run([PROGRAM, *map(str, words)], cwd=self.folder, env=environment,
                              input=stdin.encode() if isinstance(stdin, str) else stdin,
                              stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
        run = Run(words, done.returncode, (done.stdout or b"").decode("utf-8", "replace"),
                  done.stderr.decode("utf-8", "replace"))
        if code is not None and run.code != code:
            raise Failure(f"exit code {run.code}, wanted {code}\n{run}")
        return run

    def ok(self, *words, **options):
        return self.run(*words, code=0, **options)

    def json(self, *words, code=0, **options):
        return self.run(*words, "--json", code=code, **options).json()

    def fails(self, code, *words, says=(), hint=None, **options):
        """Must fail with this exit code and one clear sentence that holds every text of `says`."""
        run = self.run(*words, code=code, **options)
        for text in [says] if isinstance(says, str) else says:
            if text not in run.err:
                raise Failure(f"standard error does not say {text!r}\n{run}")
        if hint is not None and hint not in run.err:
            raise Failure(f"there is no hint {hint!r}\n{run}")
        first = run.err.splitlines()[0] if run.err else ""
        if not first.startswith("apr: error: "):
            raise Failure(f"standard error does not begin with 'apr: error: '\n{run}")
        if "terminate called" in run.err or "Sanitizer" in run.err:
            raise Failure(f"the program crashed\n{run}")
        return run

    def tiny(self, name="tiny.apr"):
        """The bundled model, imported; made once and copied."""
        if Test._imported is None:
            keep = tempfile.mkdtemp(prefix="apr-cli-tiny-")
            Test._imported = pathlib.Path(keep) / "tiny.apr"
            self.ok("import", BUNDLED, "-o", Test._imported)
        target = self.folder / name
        shutil.copyfile(Test._imported, target)
        return target

    def path(self, name):
        return self.folder / name

    def files(self):
        return sorted(p.name for p in self.folder.iterdir())

    def check(self, condition, message, run=None):
        if not condition:
            raise Failure(f"{message}\n{run}" if run else message)

    def equal(self, found, wanted, what="value"):
        if found != wanted:
            raise Failure(f"{what} is {found!r}, wanted {wanted!r}")

    def contains(self, text, *parts):
        for part in parts:
            if part not in text:
                raise Failure(f"{part!r} is not in:\n{text}")

    def lacks(self, text, *parts):
        for part in parts:
            if part in text:
                raise Failure(f"{part!r} is in:\n{text}")


def shared(name):
    path = SHARED / name
    if not path.exists():
        raise Skip(f"{path} is not there")
    return path


def main(names):
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    tests = [(n, f) for n, f in names.items() if n.startswith("test_") and callable(f) and wanted in n]
    failed = skipped = 0
    for name, function in tests:
        with tempfile.TemporaryDirectory(prefix="apr-cli-") as folder:
            try:
                function(Test(folder))
                print(f"pass  {name}")
            except Skip as reason:
                skipped += 1
                print(f"skip  {name}: {reason}")
            except Failure as failure:
                failed += 1
                print(f"FAIL  {name}\n{failure}\n")
            except Exception:
                failed += 1
                print(f"FAIL  {name}\n{traceback.format_exc()}\n")
    if Test._imported is not None:
        shutil.rmtree(Test._imported.parent)
    print(f"{len(tests)} tests, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not tests else 0)
