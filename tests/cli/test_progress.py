"""Progress on long work: drawn on a terminal, erased in the end, and nowhere else."""
import framework
import terminal
from framework import BUNDLED

SLOW = ["eval", "tiny.apr", "--dataset", "long.txt", "--backend", "reference", "--threads", "1"]


def prepare(t):
    t.tiny()
    words = (BUNDLED / "golden" / "eval.txt").read_text()[:4000]
    t.path("long.txt").write_text(words)


def test_long_work_draws_a_bar_and_erases_it(t):
    prepare(t)
    for columns in (80, 44):
        code, text = terminal.watch([framework.PROGRAM, *SLOW], t.folder, columns)
        t.equal(code, 0)
        t.contains(text, "█", "░", " % ")
        shown = terminal.screen(text, columns)
        t.check(not any("█" in line or "░" in line for line in shown), f"left on the screen: {shown}")
        t.check(any(line.startswith("Perplexity") for line in shown), f"no result: {shown}")
        drawn = [line for frame in text.split("\r") for line in terminal.screen(frame, 10_000) if "░" in line]
        t.check(all(len(line) < columns for line in drawn), f"a bar wider than {columns} columns: {drawn}")


def test_no_bar_where_nobody_looks(t):
    prepare(t)
    run = t.ok(*SLOW)
    t.lacks(run.out + run.err, "█", "\r", "\x1b")
    code, text = terminal.watch([framework.PROGRAM, *SLOW, "--quiet"], t.folder)
    t.equal(code, 0)
    t.lacks(text, "█")


framework.main(globals())
