"""explain, logs, graph, report, gc, verify, schema and init."""
import html.parser
import json

import framework
from helpers import DEMO, HEAD, digests, fails, project, states


def test_explain(t):
    path = project(t)
    t.contains(t.ok("explain", path).out, "import  will run", "why: never ran")
    t.ok("run", path)
    t.contains(t.ok("explain", path, "small", "--set", "scheme=q8_0").out, "small  will run",
               "parameter 'quantize'", "was \"q4_0\"", "is  \"q8_0\"")
    stage, = t.json("explain", path, "small", "--set", "scheme=q8_0")["stages"]
    t.equal(stage["changed"][:1], [{"part": "parameter 'quantize'", "before": '"q4_0"', "now": '"q8_0"'}])
    t.check("program" in stage["made_of"] and "inputs" in stage["made_of"], f"made of {stage['made_of']}")
    fails(t, 3, "explain", path, "smal", says=["there is no stage 'smal'", "did you mean 'small'?"])


def test_logs(t):
    path = project(t, HEAD + """\
stages:
  import: {uses: import, with: {source: golden/apr-tiny-chat}}
  ask: {uses: run, with: {model: "${stages.import.output}", prompt: "What is 2+2?", temperature: 0}}
""")
    t.ok("run", path)
    for _ in range(2):  # from the run, then from the cache
        t.contains(t.ok("logs", path, "ask").out, "ask  ", "── run", "4")
        t.ok("run", path)
    log, = t.json("logs", path, "ask")["logs"]
    t.equal((log["stage"], log["what"], log["text"].strip()), ("ask", "run", "4"))
    first = sorted(p.name for p in t.path(".apr/runs").iterdir())[0]
    t.contains(t.ok("logs", path, "--run", first).out, "ask  ran")
    fails(t, 3, "logs", path, "--run", "../..", says="has no run")


def test_graph(t):
    path = project(t)
    stages = {s["name"]: s for s in t.json("graph", path)["stages"]}
    t.equal(stages["back"]["after"], ["half"])
    t.equal(stages["small"]["outputs"], ["small"])
    t.contains(t.ok("graph", path, "--format", "dot").out, 'digraph "demo" {', 's0 -> s1;')
    t.contains(t.ok("graph", path).out, "flowchart LR", "s0 --> s1")


class Page(html.parser.HTMLParser):
    """Every tag is closed by its own, nothing is loaded from anywhere."""
    VOID = {"meta", "br", "rect", "path", "circle", "line", "img", "link"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            raise framework.Failure(f"</{tag}> closes something else")

    def handle_data(self, data):
        self.text += data


def test_report(t):
    evil = "<script>alert('x')</script>\"&\u202e"
    path = project(t, DEMO.replace("name: demo\n", "name: demo\ndescription: " + json.dumps(evil) + "\n"))
    t.ok("run", path, "--html", "mine/report.html")
    text = t.path("mine/report.html").read_text()
    page = Page()
    page.feed(text)
    t.equal(page.open, [])
    t.lacks(text, "<script", "\u202e", "http-equiv=\"refresh")
    t.contains(page.text, "<script>alert('x')</script>", "small", "sha256")
    for tag, attributes in page.tags:
        for name in ["src", "href"]:
            t.check(attributes.get(name, "#").startswith("#"), f"<{tag}> loads {attributes.get(name)}")
    t.equal(t.ok("report", path).out.strip().endswith("/report.html"), True)
    t.equal(t.path("mine/report.html").read_text(), open(t.ok("report", path).out.strip()).read())


def test_gc(t):
    path = project(t)
    for scheme in ["q4_0", "q8_0", "q4_0"]:
        t.ok("run", path, "--set", f"scheme={scheme}")
    made = digests(t.path("out"))
    dry = t.json("gc", path, "--keep", "1", "--dry-run")
    t.equal((dry["dry_run"], dry["kept_runs"], dry["kept_results"]), (True, 1, 6))
    t.equal(len(list(t.path(".apr/runs").iterdir())), 3)
    gone = t.json("gc", path, "--keep", "1")
    t.equal(gone["removed"], dry["removed"])
    t.equal(sorted(item["kind"] for item in gone["removed"]), ["result", "result", "run", "run"])
    t.check(gone["freed_bytes"] > 1_000_000, "almost nothing was freed")
    t.equal(digests(t.path("out")), made)
    t.equal(set(states(t.json("run", path)).values()), {"cached"})


def test_verify(t):
    path = project(t)
    t.ok("run", path)
    t.contains(t.ok("verify", path).out, "2 digests equal to the lock file, 0 different")
    report = t.json("verify", path, "--rebuild", "--threads", "3")
    t.equal((report["ok"], report["equal"], report["threads"]), (True, 4, 3))
    small = t.path("out/small.apr")
    data = bytearray(small.read_bytes())
    small.unlink()
    data[-100] ^= 1
    small.write_bytes(data)
    fails(t, 5, "verify", path, says="not what the lock file says")
    lock = json.loads(t.path("demo.lock").read_text())
    lock["stages"]["small"]["output"] = "0" * 64
    t.path("demo.lock").write_text(json.dumps(lock))
    report = t.json("verify", path, "--rebuild", code=5)
    t.equal([d["what"] for d in report["differences"]], ["stage small: output"])


def test_init(t):
    t.ok("init", "my.yaml", "--source", framework.BUNDLED)
    report = t.json("lint", "my.yaml")
    t.equal((report["errors"], report["warnings"]), (0, 0))
    t.equal(t.json("run", "my.yaml")["ok"], True)
    t.check(t.path("out/my.apr").exists(), "nothing was made")
    fails(t, 5, "init", "my.yaml", says="is there already")
    t.ok("init", "my.yaml", "--force")
    fails(t, 2, "run", "my.yaml", says=["parameter 'source' has no value", "--set source=VALUE"])


def test_schema(t):
    schema = t.json("schema")
    t.ok("schema", "-o", "s.json")
    t.equal(json.loads(t.path("s.json").read_text()), schema)
    try:
        import jsonschema
        import yaml
    except ImportError as missing:
        raise framework.Skip(f"{missing}: the schema was not held against files")
    jsonschema.Draft7Validator.check_schema(schema)
    judge = jsonschema.Draft7Validator(schema)
    t.ok("init", "my.yaml")
    good = sorted((framework.SOURCE / "pipelines").glob("*.yaml")) + [t.path("my.yaml")]
    for path in good:
        errors = [f"{list(e.absolute_path)}: {e.message}" for e in judge.iter_errors(yaml.safe_load(path.read_text()))]
        t.equal((path.name, errors), (path.name, []))
    t.check(len(good) >= 4, "pipelines are missing")
    text = (framework.SOURCE / "pipelines" / "north-star.yaml").read_text()
    for old, new in [("uses: validate@1", "uses: validat"), ("quality: true", "quality: maybe"),
                     ("quantize: int8", "quantise: int8"), ("kind: Pipeline", "kind: Pipe"),
                     ("- size: {max:", "- size: {maximum:"), ("stages:", "stagez:"),
                     ("    type: bytes", "    type: octets"), ("needs: validate", "retry: {after: [io]}")]:
        t.check(old in text, f"{old!r} is not there")
        broken = yaml.safe_load(text.replace(old, new, 1))
        t.check(not judge.is_valid(broken), f"the schema accepts {new!r}")


if __name__ == "__main__":
    framework.main(globals())
