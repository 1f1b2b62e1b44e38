import os
import subprocess

import fixtures
from case import case
from fixtures import checkpoint, data, do, file, folder, model, small, tiny

TITLE = "Pipelines at work"
HEAD = "apiVersion: apr.dev/v1\nkind: Pipeline\nname: demo\n"
SMALL = HEAD + ("stages:\n  shrink: {uses: convert, with: {model: small.apr, quantize: int8}}\n"
                "outputs: {m: {from: \"${stages.shrink.output}\", to: m.apr}}\n")
CLOCK = [(r"about [0-9.]+ [kMG]B of memory", "about … MB of memory"), (r"\b\d+(\.\d+)? m?s\b", "… s"), (r"\d{8}-\d{6}-\d+|\d{8}T\d{6}Z?(-\w+)?", "RUN"), (r"\d+(\.\d+)? [KMG]iB are", "… are"),
         (r"  +… s", "  … s")]


def run(wrong, text, code, *more, options="", command="run", before="", show="err", person=False):
    return case(wrong, f"{before}apr-pipeline {command} demo.yaml{options}", code, file("demo.yaml", text), *more, hide=CLOCK, show=show, person=person)


def once(*words):
    """A run that succeeds before the entry's own command."""
    def make(base):
        subprocess.run([fixtures.PROGRAMS[0] / "apr-pipeline", *(words or ("run", "demo.yaml"))], cwd=base, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return make


def fails_once(base):
    """A run whose gate fails, so that its figure is known."""
    subprocess.run([fixtures.PROGRAMS[0] / "apr-pipeline", "run", "demo.yaml"], cwd=base, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def gated(gate):
    return SMALL.replace("quantize: int8}}", "quantize: int8}, gates: [" + gate + "]}")


def stage(text):
    return HEAD + "stages:\n  " + text + "\n"


CASES = [
    run("ran a pipeline with mistakes", HEAD + "stages:\n  look: {uses: inspct}\n", 2),
    run("planned a pipeline with mistakes", HEAD + "stages:\n  look: {uses: inspct}\n", 2, command="plan"),
    run("drew a pipeline with mistakes", HEAD + "stages:\n  look: {uses: inspct}\n", 2, command="graph"),
    run("drew a pipeline in an unknown form", SMALL, 2, command="graph", options=" --format svg"),
    run("lacks an input", SMALL, 3),
    run("planned with an input that is not there", SMALL, 3, command="plan"),
    run("gave a remote source", stage("import: {uses: import, with: {source: \"hf://Qwen/Qwen2-0.5B\"}}"), 9),
    run("gave no value to a parameter", HEAD + "params: {m: {type: path}}\n" + "stages:\n  look: {uses: inspect, "
        "with: {model: \"${params.m}\"}}\n", 2),
    run("gave a parameter a value of another type", HEAD + "params: {n: {type: integer, default: 1}}\nstages:\n"
        "  look: {uses: tensors, with: {model: small.apr}, when: params.n > 0}\n", 2, small, options=" --set n=many"),
    run("set a parameter that there is not", SMALL, 2, small, options=" --set scheme=q4_0"),
    run("set a parameter twice", HEAD + "params: {n: {type: integer, default: 1}}\nstages:\n"
        "  look: {uses: tensors, with: {model: small.apr}, when: params.n > 0}\n", 2, small, options=" --set n=1 --set n=2"),
    run("did not give a secret", HEAD + "secrets: [SIGNING_KEY]\nstages:\n  look: {uses: tensors, with: {model: small.apr, "
        "filter: \"${secrets.SIGNING_KEY}\"}}\n", 2, small),
    run("gave a secret that is too short", HEAD + "secrets: [SIGNING_KEY]\nstages:\n  look: {uses: tensors, with: {model: small.apr, "
        "filter: \"${secrets.SIGNING_KEY}\"}}\n", 2, small, before="SIGNING_KEY=abc "),
    run("has something else at the place of an output", SMALL, 5, small, file("m.apr", "mine")),
    run("puts an output below a file", SMALL.replace("to: m.apr", "to: small.apr/m.apr"), 7, small),
    run("needs more memory than it may take", SMALL.replace("stages:", "resources: {memory: 1MiB}\nstages:"), 5, small),
    run("needs more disk than it may take", SMALL.replace("stages:", "resources: {disk: 1KiB}\nstages:"), 5, small),
    run("runs a stage that fails", SMALL, 4, file("small.apr", "no model at all, but long enough to be looked at")),
    run("runs a stage whose check fails", stage("check: {uses: validate, with: {model: model}}"), 5, checkpoint(
        tensors=lambda all: all["model.norm.weight"][1].__setitem__(0, float("nan")))),
    run("runs a stage that takes too long", stage("measure: {uses: bench, with: {model: tiny.apr, repeat: 1000}, timeout: 300ms}"), 1,
        tiny),
    run("has a gate that does not hold", gated("{size: {max: 1KiB}}"), 5, small),
    run("has a gate on a figure that there is not", gated("{report: {speed: \"> 1\"}}"), 5, small),
    run("has a gate on a report that does not hold", gated("{report: {output_bytes: \"< 5\"}}"), 5, small),
    run("has a gate that compares with what is not there", gated("{golden-trace: {reference: golden.json}}"), 3, small),
    run("has a gate that compares with no texts", gated("{tokenizer-parity: {reference: texts.json}}"), 5, small,
        data("texts.json", [])),
    run("has a gate that compares with texts without ids", gated("{tokenizer-parity: {reference: texts.json}}"), 4, small,
        data("texts.json", [{"text": "Hello"}])),
    run("has a gate that finds other ids", gated("{tokenizer-parity: {reference: texts.json}}"), 5, small,
        data("texts.json", [{"text": "Hello", "ids": [1, 2, 3]}])),
    run("uses a figure of a report that there is not", HEAD + "stages:\n  look: {uses: inspect, with: {model: small.apr}}\n"
        "  list: {uses: tensors, with: {model: small.apr, filter: \"${stages.look.report.no.such}\"}}\n", 2, small),
    run("decides by a figure that is a text", HEAD + "stages:\n  look: {uses: inspect, with: {model: small.apr}}\n"
        "  list: {uses: tensors, with: {model: small.apr}, when: stages.look.report.architecture}\n", 2, small),
    run("keeps its state where no folder can be", SMALL, 7, small, file("state", "mine"), options=" --state state"),
    run("resumes what was never run", SMALL, 3, small, command="resume"),
    run("asks for the status of what was never run", SMALL, 3, small, command="status"),
    run("asks for the logs of what was never run", SMALL, 3, small, command="logs"),
    run("asks for the report of what was never run", SMALL, 3, small, command="report"),
    run("tidies up what was never run", SMALL, 3, small, command="gc"),
    run("verifies without a lock file", SMALL, 3, small, command="verify"),
    run("runs locked without a lock file", SMALL, 3, small, options=" --locked"),
    run("has a lock file that is none", SMALL, 4, small, file("demo.lock", "{}"), options=" --locked"),
    run("asks for the status of a run that there is not", SMALL, 3, small, once(), command="status", options=" --run 17"),
    run("asks for the logs of a stage that there is not", SMALL, 3, small, once(), command="logs", options=" shrnk"),
    run("asks for an explanation of a stage that there is not", SMALL, 3, small, once(), command="explain", options=" shrnk"),
    run("runs locked after the model was changed", SMALL, 5, small, once(), lambda base: (base / "small.apr").unlink(),
        model("small.apr", "tiny.apr"), options=" --locked"),
    run("verifies an output that was changed", SMALL, 5, small, once(), lambda base: ((base / "m.apr").unlink(),
        (base / "m.apr").write_bytes(b"mine")), command="verify", show="both"),
    run("verifies an output that was removed", SMALL, 5, small, once(), lambda base: (base / "m.apr").unlink(), command="verify", show="both"),
    run("writes the report over a folder", SMALL, 7, small, once(), folder("page"), command="report", options=" --html page"),
    case("asked for the schema with a word too many", "apr-pipeline schema demo.yaml", 2),
    case("tidied up a folder that is no state folder", "apr-pipeline gc demo.yaml --state nowhere", 3, file("demo.yaml", SMALL)),
    case("pressed Ctrl-C while a pipeline ran", "apr-pipeline run demo.yaml", 130, tiny, file("demo.yaml", stage(
        "measure: {uses: bench, with: {model: tiny.apr, repeat: 10000}}")), interrupt=True, hide=CLOCK),
    run("decides by a comparison of a text with a number", HEAD + "stages:\n  look: {uses: inspect, with: {model: small.apr}}\n"
        "  list: {uses: tensors, with: {model: small.apr}, when: stages.look.report.architecture < 3}\n", 2, small),
    run("decides by the negation of a number", HEAD + "stages:\n  look: {uses: inspect, with: {model: small.apr}}\n"
        "  list: {uses: tensors, with: {model: small.apr}, when: '!stages.look.report.num_layers'}\n", 2, small),
    run("puts a list of figures into a text", HEAD + "stages:\n  look: {uses: inspect, with: {model: small.apr}}\n"
        "  list: {uses: tensors, with: {model: small.apr, filter: \"x${stages.look.report.types}\"}}\n", 2, small),
    run("plans with a gate that is sure to fail", gated("{size: {max: 1KiB}}"), 5, small, fails_once, command="plan"),
    run("has an input with a pipe in it", stage("import: {uses: import, with: {source: model}}"), 7, checkpoint(), do(os.mkfifo, "model/pipe")),
    run("may not write where an output goes", SMALL.replace("to: m.apr", "to: there/m.apr"), 7, small, folder("there"),
        do(lambda path: os.chmod(path, 0o555), "there"), person=True),
    run("forgives a gate that it cannot hold", stage("shrink: {uses: convert, with: {model: small.apr, quantize: int8}, when: 1 > 2}\n"
        "  check: {uses: validate, with: {model: small.apr}, gates: [{size: {model: \"${stages.shrink.output}\", max: 1KiB}}]}"), 5, small),
]
