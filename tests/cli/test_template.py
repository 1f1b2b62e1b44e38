"""apr template, and what validate says of templates."""
import json
import shlex
import shutil

import framework
from framework import BUNDLED

HELLO = '[{"role": "user", "content": "Hello"}]'


def rendered(t, source, *words, messages=HELLO, **options):
    (t.folder / "chat.jinja").write_text(source, encoding="utf-8")
    return t.run("template", "--template", "chat.jinja", "--messages", "-", *words, stdin=messages, **options)


def refused(t, says, source="x", *words, messages=HELLO, code=4, hint=None):
    (t.folder / "chat.jinja").write_text(source, encoding="utf-8")
    return t.fails(code, "template", "--template", "chat.jinja", "--messages", "-", *words, stdin=messages, says=says,
                   hint=hint)


def test_the_models_template_byte_for_byte(t):
    t.tiny()
    golden = json.loads((BUNDLED / "golden" / "golden.json").read_text(encoding="utf-8"))["rendered_chat_example"]
    words = [] if golden["add_generation_prompt"] else ["--no-generation-prompt"]
    found = t.ok("template", "tiny.apr", "--messages", "-", *words, stdin=json.dumps(golden["messages"])).out
    t.equal(found, golden["text"])


def test_ids_are_those_that_chat_feeds(t):
    t.tiny()
    question = '[{"role": "user", "content": "What is 12+31?"}]'
    report = t.json("template", "tiny.apr", "--messages", "-", stdin=question)
    t.equal(report["count"], t.json("run", "tiny.apr", "What is 12+31?")["prompt_tokens"])
    t.equal(report["ids"][0], 2046)
    t.equal("".join(report["tokens"]), report["prompt"])
    table = t.ok("template", "tiny.apr", "--messages", "-", "--tokens", stdin=question).out
    t.check(table.startswith(report["prompt"]), "the prompt does not come first")
    t.contains(table, '2046  "<|im_start|>"', f"{report['count']} tokens")


def test_spans_say_whose_words_are_whose(t):
    spans = rendered(t, "<|a|>{{ messages[0].content }}{{ bos_token }}", "--set", "bos_token=<s>", "--json", code=0).json()["spans"]
    t.equal([(s["text"], s["trusted"]) for s in spans], [("<|a|>", True), ("Hello", False), ("<s>", True)])
    t.equal([(s["begin"], s["end"]) for s in spans], [(0, 5), (5, 10), (10, 13)])


def test_variables(t):
    source = "{{ a }} {{ b }} {{ c is true }} {{ d }} {{ e|length }} {{ add_generation_prompt }}"
    words = ["--set", "a=x=y", "--set", "b=3", "--set", "c=true", "--set", 'd="3"', "--set", "e=[1, 2]"]
    t.equal(rendered(t, source, *words, code=0).out, "x=y 3 True 3 2 True")
    t.equal(rendered(t, source, *words, "--no-generation-prompt", code=0).out, "x=y 3 True 3 2 False")
    t.equal(rendered(t, "{{ strftime_now('%d %b %Y') }}", "--date", "2024-07-26", code=0).out, "26 Jul 2024")
    refused(t, "the date, and none was given", "{{ strftime_now('%Y') }}", hint="--date")
    refused(t, "NAME=VALUE", "x", "--set", "a", code=2)
    refused(t, "NAME=VALUE", "x", "--set", "1a=2", code=2)
    refused(t, "cannot give tools", "x", "--set", "tools=[]", code=2, hint="--tools")
    refused(t, 'the date "soon" is neither', "x", "--date", "soon", code=2)


def test_files_and_standard_input(t):
    (t.folder / "m.json").write_text('{"messages": [{"role": "user", "content": "A"}], "tools": [{"name": "f"}]}')
    (t.folder / "t.json").write_text('[{"name": "g"}]')
    (t.folder / "c.jinja").write_text("{{ messages[0].content }}{{ tools[0].name if tools }}")
    t.equal(t.ok("template", "--template", "c.jinja", "--messages", "m.json").out, "Af")
    t.equal(t.ok("template", "--template", "c.jinja", "--messages", "-", "--tools", "t.json", stdin=HELLO).out, "Hellog")
    t.equal(t.ok("template", "--template", "-", "--messages", "m.json", stdin="{{ 1 + 1 }}").out, "2")
    t.fails(2, "template", "--template", "c.jinja", "--messages", "m.json", "--tools", "t.json", says="too")
    t.fails(2, "template", "--template", "-", "--messages", "-", says="both")
    t.fails(2, "template", "--messages", "m.json", says="no template", hint="--template")
    t.fails(2, "template", "--template", "c.jinja", "--messages", "m.json", "--tokens", says="needs a model")
    t.fails(3, "template", "--template", "c.jinja", "--messages", "n.json", says="n.json")
    t.fails(3, "template", "--template", "d.jinja", "--messages", "m.json", says="d.jinja")


def test_errors_name_the_field_of_the_messages(t):
    for text, says in {
        '{"messages": 5}': "field messages is a number, not a list",
        "5": "field messages",
        '[5]': "field messages[0] is a number, not an object",
        '[{"content": "x"}]': "field messages[0].role is missing",
        '[{"role": "user"}, {"role": 3}]': "field messages[1].role",
        '[{"role": "user", "content": 3}]': "field messages[0].content",
        '[{"role": "assistant", "tool_calls": {}}]': "field messages[0].tool_calls",
        '[{"role": "assistant", "tool_calls": [{"function": {}}]}]': "messages[0].tool_calls[0].function.name is missing",
        '{"messages": [], "model": "x"}': "field model means nothing here",
        '{"messages": [], "tools": {}}': "field tools",
        '{"messages": [], "tools": [1]}': "field tools[0]",
        '[{"role": "user", "role": "user"}]': "role",
        "[": "standard input",
        "": "standard input",
    }.items():
        run = refused(t, says, messages=text)
        t.contains(run.err, "standard input")


def test_errors_name_the_place_in_the_template(t):
    refused(t, "chat.jinja:2:4: this block is never closed", "a\n{% if x %}")
    refused(t, "chat.jinja:1:24: messages[0].kontent is undefined", "{{ messages[0].kontent.x }}")
    refused(t, "chat.jinja:1:19: the template refuses these messages: no", "{{ raise_exception('no') }}", code=5)
    refused(t, ["chat.jinja:1:8", "the filter tojsn is not known here"], "{{ x | tojsn }}", code=9, hint="tojson")
    refused(t, "the test strnig is not known here", "{{ x is strnig }}", code=9, hint="string")
    refused(t, "the filter uper is not known here", "{{ x | map('uper') }}", code=9, hint="upper")
    refused(t, "{% include %} is not supported", "{% include 'x' %}", code=9)


def test_validate_finds_an_unknown_filter(t):
    folder = t.folder / "model"
    shutil.copytree(BUNDLED, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["chat_template"] += "{% if false %}{{ messages | nosuch }}{% endif %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    run = t.run("validate", "model", code=5)
    t.contains(run.out, "nosuch")


def test_a_model_without_a_template(t):
    folder = t.folder / "model"
    shutil.copytree(BUNDLED, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    del config["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    t.fails(6, "template", "model", "--messages", "-", stdin=HELLO, says="no chat template", hint="--template")


def test_the_examples_of_the_help_run(t):
    t.tiny()
    for example in t.json("help", "template")["examples"]:
        said, _, words = example["command"].partition(" | apr ")
        run = t.ok(*shlex.split(words), stdin=shlex.split(said)[1])
        t.contains(run.out, "<|im_start|>")


def test_sampling_settings_reach_the_sampler(t):
    t.tiny()
    ask = ["run", "tiny.apr", "What is 2+2?"]
    t.equal(t.ok(*ask, "--logit-bias", "19=-inf").out == "4\n", False)
    t.equal(t.ok(*ask, "--temperature", "1", "--min-p", "1").out, "4\n")
    long = ["run", "tiny.apr", "Tell me a story.", "-n", "40", "--temperature", "1.5", "--seed", "3"]
    plain = t.ok(*long).out
    for more in [["--typical-p", "0.3"], ["--min-p", "0.4"], ["--mirostat", "1"], ["--frequency-penalty", "2"],
                 ["--presence-penalty", "2"],
                 ["--top-p", "0.2"], ["--top-k", "2"], ["--repetition-penalty", "1.5"]]:
        found = t.ok(*long, *more).out
        t.check(found != plain, f"{more} changes nothing")
        t.equal(t.ok(*long, *more).out, found, "the same answer twice")
    greedy = ["run", "tiny.apr", "Tell me a story.", "-n", "60"]
    dry = ["--dry-multiplier", "50", "--dry-allowed-length", "1"]
    t.check(t.ok(*greedy).out != t.ok(*greedy, *dry).out, "DRY changes nothing")
    t.equal(t.ok(*greedy).out, t.ok(*greedy, *dry, "--dry-breaker", " ").out, "a breaker in every word")
    for cut in [["--top-k", "40"], ["--top-p", "0.9"], ["--min-p", "0.1"]]:
        t.equal(t.ok(*ask, "--temperature", "0", *cut).out, "4\n", "no cut removes the likeliest token")
    for more, says in {("--min-p", "0.1"): "--min-p does nothing",
                       ("--temperature", "0", "--typical-p", "0.5"): "--typical-p does nothing", 
                       ("--mirostat", "3"): "--mirostat does nothing", ("--logit-bias", "x"): "ID=VALUE", ("--logit-bias", "5000=1"): "0 to 2047",
                       ("--logit-bias", "5=1,5=2"): "two logit biases", ("--logit-bias", "5=1000"): "-100 to 100",
                       ("--temperature", "1", "--mirostat", "3", "--top-k", "3"): "stands in for",
                       ("--dry-breaker", "x"): "--dry-multiplier",
                       ("--temperature", "1", "--typical-p", "0"): "typical-p"}.items():
        t.fails(2, *ask, *more, says=says)


if __name__ == "__main__":
    framework.main(globals())
