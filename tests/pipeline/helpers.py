"""What the tests of apr-pipeline share. Run one by hand:

    APR=build/release/bin/apr-pipeline PYTHONPATH=tests/cli python3 tests/pipeline/test_run.py [part of a name]
"""
import hashlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "cli"))
import framework  # noqa: E402

HEAD = "apiVersion: apr.dev/v1\nkind: Pipeline\nname: demo\n"

# import, two shrunken models, a look and a check: small, but all of it real.
DEMO = HEAD + """\
params:
  source: {type: path, default: golden/apr-tiny-chat}
  scheme: {type: choice, choices: [q4_0, q8_0], default: q4_0}
stages:
  import: {uses: import, with: {source: "${params.source}"}}
  look: {uses: inspect, with: {model: "${stages.import.output}"}}
  small: {uses: convert, with: {model: "${stages.import.output}", quantize: "${params.scheme}"}}
  half: {uses: convert, with: {model: "${stages.import.output}", quantize: f16}}
  check: {uses: validate, with: {model: "${stages.small.output}"}}
  back: {uses: export, with: {model: "${stages.half.output}"}}
outputs:
  small: {from: "${stages.small.output}", to: out/small.apr}
  back: {from: "${stages.back.output}", to: out/back}
"""


def project(t, text=DEMO, name="demo.yaml", folder=None):
    """A folder with the bundled model and a pipeline file in it."""
    folder = pathlib.Path(folder or t.folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "golden").exists():
        (folder / "golden").symlink_to(framework.SOURCE / "golden")
    path = folder / name
    path.write_text(text)
    return path


def states(report):
    return {stage["name"]: stage["state"] for stage in report["stages"]}


def fails(t, code, *words, says=(), **options):
    """Must fail with this exit code; every text of `says` is on standard error, the last line is the error."""
    run = t.run(*words, code=code, **options)
    for text in [says] if isinstance(says, str) else says:
        if text not in run.err:
            raise framework.Failure(f"standard error does not say {text!r}\n{run}")
    if "apr-pipeline: error: " not in run.err or "terminate called" in run.err or "Sanitizer" in run.err:
        raise framework.Failure(f"that is no clear error\n{run}")
    return run


def digests(folder):
    """Every regular file below a folder with the SHA-256 of its bytes."""
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}
