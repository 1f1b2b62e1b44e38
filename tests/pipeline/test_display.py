"""A run on a terminal: a bar for each stage at work, a line for each that ended, nothing left over."""
import sys

from helpers import HEAD, project
import framework
import terminal

TEXT = HEAD + """\
stages:
  import: {uses: import, with: {source: golden/apr-tiny-chat}}
  one: {uses: eval, with: {model: "${stages.import.output}", dataset: long.txt, backend: reference}}
  two: {uses: eval, with: {model: "${stages.import.output}", dataset: long.txt, backend: reference, window: 64}}
  look: {uses: inspect, with: {model: "${stages.import.output}"}}
"""


def test_bars_come_and_go(t):
    t.path("long.txt").write_text((framework.BUNDLED / "golden" / "eval.txt").read_text()[:4000])
    path = project(t, TEXT)
    for columns in (100, 60):
        code, text = terminal.watch([framework.PROGRAM, "run", path, "--state", f"state-{columns}"], t.folder, columns)
        t.check(code == 0, f"exit code {code}: {text}")
        shown = terminal.screen(text, columns)
        t.contains(text, "█", "░", " %")
        t.check(not any("█" in line or "░" in line for line in shown), f"left on the screen: {shown}")
        for stage in ("import", "one", "two", "look"):
            ended = [line for line in shown if line.startswith(f"✓ {stage} ")]
            t.check(len(ended) == 1, f"{stage} should have one line: {shown}")


def test_a_failure_is_the_last_thing_shown(t):
    t.path("long.txt").write_text("")
    path = project(t, TEXT)
    code, text = terminal.watch([framework.PROGRAM, "run", path], t.folder)
    t.equal(code, 5)
    shown = [line for line in terminal.screen(text) if line]
    t.check(any(line.startswith("✗ one ") for line in shown), f"no mark of the failure: {shown}")
    t.check(any("apr-pipeline: error: " in line for line in shown[-4:]), f"the error is not last: {shown}")


framework.main(globals())
