from case import case
from fixtures import file

TITLE = "Pipeline files"
HEAD = "apiVersion: apr.dev/v1\nkind: Pipeline\nname: demo\n"
IMPORT = "  import: {uses: import, with: {source: model}}\n"
KEEP = "outputs: {m: {from: \"${stages.import.output}\", to: m.apr}}\n"
REPORT = "  look: {uses: inspect, with: {model: \"${stages.import.output}\"}}\n"


def lint(wrong, text, code=2, options=""):
    return case(wrong, f"apr-pipeline lint demo.yaml{options}", code, file("demo.yaml", text), show="both")


def whole(wrong, more, stages=IMPORT, outputs=KEEP, **rest):
    return lint(wrong, HEAD + more + "stages:\n" + stages + outputs, **rest)


def stages(wrong, text, outputs=KEEP, before="", **rest):
    return lint(wrong, HEAD + before + "stages:\n" + IMPORT + text + outputs, **rest)


def params(wrong, text):
    return lint(wrong, HEAD + f"params:\n  p: {text}\nstages:\n  import: {{uses: import, with: {{source: \"${{params.p}}\"}}}}\n" + KEEP)


def matrix(wrong, text, model="${stages.import.output}"):
    return stages(wrong, f"  shrink:\n    uses: convert\n    matrix: {text}\n    with: {{model: \"{model}\", quantize: q8_0}}\n",
                  KEEP + "report: {tables: []}\n" if False else KEEP)


def when(wrong, text):
    return stages(wrong, f"  look: {{uses: inspect, with: {{model: \"${{stages.import.output}}\"}}, when: '{text}'}}\n",
                  before="params: {n: {type: integer, default: 3}, s: {type: string, default: a}}\n")


def gate(wrong, text):
    return lint(wrong, HEAD + f"stages:\n  import: {{uses: import, with: {{source: model}}, gates: {text}}}\n" + KEEP)


def conduct(wrong, text):
    return lint(wrong, HEAD + f"stages:\n  import: {{uses: import, with: {{source: model}}, {text}}}\n" + KEEP)


def table(wrong, text):
    return stages(wrong, "  shrink:\n    uses: convert\n    matrix: {scheme: [q8_0, q4_0]}\n"
                         "    with: {model: \"${stages.import.output}\", quantize: \"${matrix.scheme}\"}\n",
                  KEEP + f"report:\n  tables:\n    {text}\n")


COLUMN = '[{title: size, value: "${stages.shrink[matrix.scheme].report.output_bytes}"}]'

CASES = [
    case("named a pipeline that is not there", "apr-pipeline lint demo.yaml", 3),
    case("named a folder as the pipeline", "apr-pipeline lint .", 7),
    lint("wrote an empty file", "", 4),
    lint("wrote no YAML", "stages: [import\n", 4),
    lint("never closed a quote", HEAD + "description: \"demo\nstages: {}\n"),
    lint("wrote YAML with a tab", HEAD + "stages:\n\timport: {uses: import}\n", 4),
    case("wrote a byte that is not UTF-8", "apr-pipeline lint demo.yaml", 4, file("demo.yaml", b"name: caf\xe9\n"), show="both"),
    lint("wrote a control character", HEAD + "description: \"\x07\"\n", 4),
    lint("wrote megabytes", HEAD + "# " + "x" * 300000 + "\n", 4),
    lint("used an anchor", HEAD + "stages: &all {}\n", 4),
    lint("used a tag", HEAD + "stages: !!map {}\n", 4),
    lint("gave a key twice", HEAD + "name: again\n" + "stages:\n" + IMPORT + KEEP, 4),
    lint("wrote two documents", HEAD + "---\n" + HEAD, 4),
    lint("wrote a list", "- import\n"),
    lint("wrote a text", "import the model\n"),
    lint("left out what every pipeline begins with", "stages:\n" + IMPORT + KEEP),
    lint("named another version of the language", HEAD.replace("apr.dev/v1", "apr.dev/v2") + "stages:\n" + IMPORT + KEEP),
    lint("named another kind", HEAD.replace("Pipeline", "Workflow") + "stages:\n" + IMPORT + KEEP),
    lint("gave a name that is no name", HEAD.replace("demo", "my demo!") + "stages:\n" + IMPORT + KEEP),
    whole("mistyped a key", "descripton: demo\n"),
    whole("used a key that is not supported yet", "policy: strict\n"),
    lint("left out the stages", HEAD),
    lint("gave no stage", HEAD + "stages: {}\n"),
    lint("gave the stages as a list", HEAD + "stages: [import]\n"),
    whole("gave a number where a text is due", "description: 7\n"),
    whole("required a version that is none", "requires: {apr: newest}\n"),
    whole("required another version", "requires: {apr: \">=99\"}\n"),
    whole("gave a seed that is a text", "defaults: {seed: many}\n"),
    whole("gave variables as a text", "env: HF_HOME\n"),
    whole("gave a variable with its value", "env: [\"A=1\"]\n"),
    whole("listed a secret twice", "secrets: [KEY, KEY]\n"),
    params("gave a parameter an unknown type", "{type: file}"),
    params("gave a parameter a default of another type", "{type: integer, default: many}"),
    params("gave a default that refers to something", "{type: string, default: \"${params.q}\"}"),
    params("gave a choice without choices", "{type: choice}"),
    params("gave choices to a number", "{type: integer, choices: [a]}"),
    params("gave choices that are a text", "{type: choice, choices: a}"),
    params("gave a choice that is a number", "{type: choice, choices: [1]}"),
    params("gave a range to a text", "{type: string, range: [1, 2]}"),
    params("gave a range of one number", "{type: integer, range: [1]}"),
    params("gave a range that is empty", "{type: integer, range: [2, 1]}"),
    params("gave a default outside of the range", "{type: integer, range: [1, 2], default: 3}"),
    whole("gave a parameter a name that is none", "params: {\"a b\": {type: string, default: x}}\n"),
    whole("gave a parameter that nothing uses (a warning)", "params: {p: {type: string, default: x}}\n", code=0),
    stages("named a stage that there is not", "  shrink: {uses: convrt, with: {}}\n"),
    stages("used a verb that makes nothing", "  talk: {uses: chat, with: {}}\n"),
    stages("asked for another version of a stage", "  look: {uses: inspect@2, with: {model: m.apr}}\n"),
    stages("gave a stage a name that is none", "  \"a b\": {uses: inspect, with: {model: m.apr}}\n"),
    stages("gave a stage as a text", "  look: inspect\n"),
    stages("left out what a stage does", "  look: {with: {model: m.apr}}\n"),
    stages("mistyped a parameter of a stage", "  look: {uses: inspect, with: {modle: m.apr}}\n"),
    stages("left out a required parameter", "  small: {uses: convert, with: {model: \"${stages.import.output}\"}}\n"),
    stages("gave the place of an output", "  small: {uses: convert, with: {model: \"${stages.import.output}\", quantize: int8, "
                                          "output: x.apr}}\n"),
    stages("used an option that is for the command line", "  look: {uses: inspect, with: {model: m.apr, json: true}}\n"),
    stages("gave a number for a text", "  look: {uses: tensors, with: {model: m.apr, filter: 7}}\n"),
    stages("gave a value outside of its bounds", "  look: {uses: validate, with: {model: m.apr, min-score: 200}}\n"),
    stages("refers to a stage that there is not", "  look: {uses: inspect, with: {model: \"${stages.imprt.output}\"}}\n"),
    stages("refers to an output that there is not", "  look: {uses: inspect, with: {model: \"${stages.import.outputs}\"}}\n"),
    stages("refers to an output of a stage that only reports",
           REPORT + "  again: {uses: inspect, with: {model: \"${stages.look.output}\"}}\n"),
    stages("refers to a parameter that there is not", "  look: {uses: inspect, with: {model: \"${params.model}\"}}\n"),
    stages("refers to itself", "  small: {uses: convert, with: {model: \"${stages.small.output}\", quantize: int8}}\n"),
    stages("refers to something unknown", "  look: {uses: inspect, with: {model: \"${model.path}\"}}\n"),
    stages("refers to a variable that it did not name", "  look: {uses: inspect, with: {model: \"${env.HOME}\"}}\n"),
    stages("refers to a secret that it did not name", "  look: {uses: inspect, with: {model: \"${secrets.KEY}\"}}\n"),
    stages("refers to a matrix that there is not", "  look: {uses: inspect, with: {model: \"${matrix.scheme}\"}}\n"),
    stages("uses a secret outside of with", REPORT.replace("}}\n", "}, when: 'secrets.KEY == \"a\"'}\n"), before="secrets: [KEY]\n"),
    stages("never closed a reference", "  look: {uses: inspect, with: {model: \"${stages.import.output\"}}\n"),
    stages("left a reference empty", "  look: {uses: inspect, with: {model: \"${}\"}}\n"),
    stages("waits for a stage that there is not", "  look: {uses: inspect, needs: shrnk, with: {model: m.apr}}\n"),
    stages("waits for itself", "  look: {uses: inspect, needs: look, with: {model: m.apr}}\n"),
    stages("waits in a circle", "  a: {uses: inspect, needs: b, with: {model: m.apr}}\n"
                                "  b: {uses: inspect, needs: a, with: {model: m.apr}}\n"),
    stages("waits for a number", "  look: {uses: inspect, needs: [7], with: {model: m.apr}}\n"),
    when("compares with a single equals sign", "params.n = 3"),
    when("compares a text with a number", "params.s < 3"),
    when("decides by a number", "params.n"),
    when("negates a number", "!params.n"),
    when("ends a comparison too early", "params.n =="),
    when("used an operator that there is not", "params.n + 1 > 2"),
    when("never closed a bracket", "(params.n == 3"),
    when("never closed a text", "params.s == \"a"),
    matrix("gave a matrix as a list", "[q8_0, q4_0]"),
    matrix("gave a matrix without an axis", "{}"),
    matrix("gave an axis that is no list", "{scheme: q8_0}"),
    matrix("gave an axis without values", "{scheme: []}"),
    matrix("gave a value twice", "{scheme: [q8_0, q8_0]}"),
    matrix("gave a value that is a list", "{scheme: [[q8_0]]}"),
    matrix("gave a value that refers to something", "{scheme: [\"${params.x}\"]}"),
    matrix("gave an axis a name that is none", "{\"a b\": [1]}"),
    matrix("gave more combinations than can be run", "{a: [1, 2, 3, 4, 5, 6, 7, 8], b: [1, 2, 3, 4, 5, 6, 7, 8], c: [1, 2, 3, 4, 5]}"),
    matrix("excluded everything", "{scheme: [q8_0], exclude: [{scheme: q8_0}]}"),
    matrix("excluded what there is not", "{scheme: [q8_0], exclude: [{scheme: q4_0}]}"),
    matrix("excluded by an axis that there is not", "{scheme: [q8_0], exclude: [{type: q8_0}]}"),
    matrix("excluded a text", "{scheme: [q8_0], exclude: [q8_0]}"),
    matrix("excluded by a text", "{scheme: [q8_0], exclude: q8_0}"),
    matrix("included what is there", "{scheme: [q8_0], include: [{scheme: q8_0}]}"),
    matrix("included half a combination", "{a: [1], b: [2], include: [{a: 3}]}"),
    gate("named a gate that there is not", "[{speed: {max: 1}}]"),
    gate("mistyped a setting of a gate", "[{size: {maximum: 1MiB}}]"),
    gate("gave a gate without a limit", "[{size: {}}]"),
    gate("gave a gate as a text", "[size]"),
    gate("gave the gates as a text", "size"),
    gate("left out what a gate compares with", "[{golden-trace: {}}]"),
    gate("gave half of a pair", "[{size: {max_ratio: 0.5}}]"),
    gate("gave a limit that is none", "[{kld: {parent: m.apr, text: t.txt, mean: small}}]"),
    gate("gave a limit without a direction", "[{report: {tensors: 5}}]"),
    gate("gave a report without a limit", "[{report: {}}]"),
    stages("put a gate on a stage that makes nothing", REPORT.replace("}}\n", "}, gates: [{size: {max: 1MiB}}]}\n")),
    conduct("gave a timeout without a unit", "timeout: 5"),
    conduct("gave too many attempts", "retry: {count: 1000, after: [io]}"),
    conduct("left out how often to try again", "retry: {after: [io]}"),
    conduct("tries again after mistakes", "retry: {count: 2, after: [usage]}"),
    conduct("gave memory without a unit that is known", "resources: {memory: much}"),
    conduct("allows failure by a text", "allow_failure: sometimes"),
    whole("gives an output that is no output", "", outputs="outputs: {m: {from: model.apr, to: m.apr}}\n"),
    whole("gives an output without a place", "", outputs="outputs: {m: {from: \"${stages.import.output}\"}}\n"),
    whole("gives two outputs one place", "", outputs="outputs:\n  a: {from: \"${stages.import.output}\", to: m.apr}\n"
                                                    "  b: {from: \"${stages.import.output}\", to: m.apr}\n"),
    whole("gives an output a place below another", "", outputs="outputs:\n  a: {from: \"${stages.import.output}\", to: m.apr}\n"
                                                              "  b: {from: \"${stages.import.output}\", to: m.apr/x}\n"),
    whole("uses nothing of what it makes (a warning)", "", outputs="", code=0),
    table("draws a table of a stage that there is not", f"- {{rows: shrnk, title: t, columns: {COLUMN}}}"),
    table("draws a table of a stage without a matrix", f"- {{rows: import, title: t, columns: {COLUMN}}}"),
    table("draws a table without columns", "- {rows: shrink, title: t}"),
    table("draws a table with a column that is a text", "- {rows: shrink, title: t, columns: size}"),
    table("draws a column without a value", "- {rows: shrink, title: t, columns: [{title: size}]}"),
    table("draws a column in an unknown unit", "- {rows: shrink, title: t, columns: [{title: size, unit: stones, "
          "value: \"${stages.shrink[matrix.scheme].report.output_bytes}\"}]}"),
    table("draws a chart of a column that there is not",
          f"- {{rows: shrink, title: t, columns: {COLUMN}, chart: {{x: size, y: quality}}}}"),
    case("set a parameter that there is not", "apr-pipeline lint demo.yaml --set scheme=q8_0", 2,
         file("demo.yaml", HEAD + "stages:\n" + IMPORT + KEEP), show="both"),
    case("set a parameter without a value", "apr-pipeline lint demo.yaml --set scheme", 2,
         file("demo.yaml", HEAD + "stages:\n" + IMPORT + KEEP), show="both"),
    stages("uses two names of one parameter", "  look: {uses: quantize, with: {model: m.apr, type: q8_0, scheme: q4_0}}\n"),
    stages("uses a value of the matrix that there is not", "  shrink: {uses: convert, matrix: {scheme: [q8_0]}, with: {model: \"${stages.import.output}\", "
           "quantize: \"${matrix.type}\"}}\n"),
    stages("refers to all combinations where one is due", "  shrink: {uses: convert, matrix: {scheme: [q8_0, q4_0]}, with: {model: "
           "\"${stages.import.output}\", quantize: \"${matrix.scheme}\"}}\n"
           "  look: {uses: inspect, with: {model: \"${stages.shrink[*].output}\"}}\n"),
    stages("never closed the bracket of a combination", "  look: {uses: inspect, with: {model: \"${stages.import[a.output}\"}}\n"),
    stages("never closed the quotes of a combination", "  look: {uses: inspect, with: {model: m.apr}, when: \"stages.import['a].report.x == 1\"}\n"),
    stages("left the bracket of a combination empty", "  look: {uses: inspect, with: {model: \"${stages.import[].output}\"}}\n"),
    stages("wrote an expression of a whole page", "  look: {uses: inspect, with: {model: \"${params.a" + "a" * 5000 + "}\"}}\n"),
    gate("gave a setting of a gate twice", "[{size: {max: 1MiB, Max: 2MiB}}]"),
    matrix("included a name that is none", "{scheme: [q8_0], include: [{scheme: q8_0, \"a b\": 1}]}"),
    table("draws a table of a list", "- {rows: shrink, title: t, columns: [{title: size, value: \"${stages.shrink[*].report.output_bytes}\"}]}"),
    whole("gives the tables as a text", "report: {tables: none}\n"),
    whole("gives a list of outputs one place", "", stages=IMPORT + "  shrink: {uses: convert, matrix: {scheme: [q8_0, q4_0]}, with: {model: "
          "\"${stages.import.output}\", quantize: \"${matrix.scheme}\"}}\n",
          outputs="outputs: {m: {from: \"${stages.shrink[*].output}\", to: m.apr}}\n"),
    whole("puts a list into a text", "", stages=IMPORT + "  shrink: {uses: convert, matrix: {scheme: [q8_0, q4_0]}, with: {model: "
          "\"${stages.import.output}\", quantize: \"${matrix.scheme}\"}}\n",
          outputs="outputs: {m: {from: \"x${stages.shrink[*].output}\", to: m.apr}}\n"),
    whole("gives an output a place by a parameter", "params: {p: {type: string, default: x}}\n",
          outputs="outputs: {m: {from: \"${stages.import.output}\", to: \"${params.p}.apr\"}}\n"),
]
