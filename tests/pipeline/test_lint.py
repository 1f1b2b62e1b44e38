"""Broken pipelines: one clear sentence each, with its place."""
import framework
import helpers
from helpers import HEAD, fails

STAGES = HEAD + "stages:\n  import: {uses: import, with: {source: golden/apr-tiny-chat}}\n"

# text -> exit code, what is said first
BROKEN = {
    "": (4, "p.yaml:1:1: the file is empty"),
    "a: [1, 2": (4, "p.yaml:1:4: not valid YAML: the '[' here is not closed"),
    "a: {b: 1": (4, "p.yaml:1:4: not valid YAML: the '{' here is not closed"),
    "a:\n\tb: 1": (4, "hint: YAML is indented with spaces, not with tabs"),
    "a: 'x": (4, "p.yaml:1:6: not valid YAML"),
    "a: &x 1": (4, "p.yaml:1:4: an anchor (&x)"),
    "a: *x": (4, "p.yaml:1:4: not valid YAML: the referenced anchor is not defined"),
    "a: 1\na: 2": (4, "p.yaml:2:1: the key 'a' appears twice"),
    "<<: {a: 1}": (4, "p.yaml:1:1: a merge key (<<)"),
    "a: !!int 3": (4, "p.yaml:1:4: a tag"),
    "a: 1\n---\nb: 1": (4, "a second YAML document"),
    "a: " + "[" * 40 + "]" * 40: (4, "nested deeper than 32 levels"),
    "- a": (2, "p.yaml:1:1: error: the pipeline must be a map, not a list"),
    HEAD: (2, "p.yaml:1:1: error: the pipeline lacks 'stages'"),
    HEAD + "stages: {}": (2, "p.yaml:4:9: error: 'stages' is empty"),
    HEAD + "stages: {a: {uses: imprt}}": (2, "p.yaml:4:20: error: there is no stage 'imprt'"),
    HEAD + "stages: {a: {uses: chat}}": (2, "p.yaml:4:20: error: "),
    STAGES.replace("source", "sorce"): (2, "p.yaml:5:33: error: stage 'import': import has no parameter 'sorce'"),
    STAGES + "  b: {uses: convert, with: {model: \"${stages.imprt.output}\", quantize: int8}}":
        (2, "p.yaml:6:39: error: there is no stage 'imprt'"),
    STAGES + "  b: {uses: convert, with: {model: \"${stages.import.outpt}\", quantize: int8}}":
        (2, "p.yaml:6:39: error: stage 'import' (import) has no output 'outpt'"),
    STAGES + "  b: {uses: convert, with: {model: \"${stages.import.output}\"}}":
        (2, "p.yaml:6:13: error: stage 'b': convert requires 'quantize'"),
    STAGES + "  b: {uses: validate, with: {model: \"${stages.import.output}\", quality: yes}}":
        (2, "p.yaml:6:73: error: stage 'b': 'quality': must be true or false"),
    STAGES + "  b: {uses: inspect, with: {model: x}, needs: c}\n  c: {uses: inspect, with: {model: x}, needs: b}":
        (2, "p.yaml:6:3: error: stages wait for each other: b -> c -> b"),
}


def test_broken_pipelines(t):
    path = t.path("p.yaml")
    for text, (code, says) in BROKEN.items():
        path.write_text(text)
        for command in ["lint", "plan", "run"]:
            run = t.run(command, "p.yaml", code=code)
            said = run.out + run.err
            if says not in said:
                raise framework.Failure(f"{text!r}\ndoes not say {says!r}\n{run}")
            t.lacks(said, "terminate called", "Sanitizer")
    t.check(not t.path(".apr").exists(), "a broken pipeline made a state folder")


def test_suggestions(t):
    path = t.path("p.yaml")
    path.write_text(HEAD + "stages: {a: {uses: imprt}}")
    t.contains(t.run("lint", path, code=2).out, "hint: did you mean 'import'?")
    report = t.json("lint", path, code=2)
    t.equal(report["ok"], False)
    t.equal(report["diagnostics"][0]["line"], 4)
    t.equal(report["diagnostics"][0]["column"], 20)
    t.equal(report["diagnostics"][0]["hint"], "did you mean 'import'?")


def test_the_demo_is_sound(t):
    path = helpers.project(t)
    report = t.json("lint", path)
    t.equal((report["errors"], report["warnings"], report["stages"]), (0, 0, 6))


def test_every_pipeline_of_the_project_is_sound(t):
    for path in sorted((framework.SOURCE / "pipelines").glob("*.yaml")):
        report = t.json("lint", path)
        t.equal((path.name, report["errors"], report["warnings"]), (path.name, 0, 0))


def test_cut_anywhere_it_never_crashes(t):
    text = (framework.SOURCE / "pipelines" / "north-star.yaml").read_bytes()
    path = t.path("p.yaml")
    for size in range(0, len(text), 61):
        path.write_bytes(text[:size])
        run = t.run("lint", path)
        t.check(run.code in (0, 2, 4), f"cut at {size}", run)


if __name__ == "__main__":
    framework.main(globals())
