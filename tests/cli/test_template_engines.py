"""apr template against two other implementations of the language, on conversations made here and now.

Jinja2 is the reference; it comes from Debian (python3-jinja2). @huggingface/jinja comes from npm, if its registry can be
reached. Both tests skip plainly when theirs is not there; what the two made of a fixed set of conversations is checked
by unit_template in any case.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import framework
from framework import SHARED, SOURCE, Skip

ORACLE = SOURCE / "tests" / "unit" / "template" / "oracle"
sys.path.insert(0, str(ORACLE))


def sources():
    config = json.loads((framework.BUNDLED / "tokenizer_config.json").read_text(encoding="utf-8"))
    found = {"bundled": config["chat_template"]}
    for folder in [ORACLE / "templates", SHARED / "chat-templates"]:
        for path in sorted(folder.glob("*.jinja")):
            found[path.name] = path.read_text(encoding="utf-8")
    return found


def fresh_dialogs():
    """Conversations that no recorded file holds: random turns, tools and calls in every order."""
    import dialogs
    return [d for seed in (1, 2) for d in dialogs.dialogs(seed) if d["name"].startswith(("random", "tools"))][::2]


def reference():
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise Skip("python3-jinja2 is not installed")
    import generate
    return generate


def options(t, dialog):
    (t.folder / "messages.json").write_text(json.dumps(dialog["messages"]), encoding="utf-8")
    words = ["--messages", "messages.json"]
    if dialog["tools"] is not None:
        (t.folder / "tools.json").write_text(json.dumps(dialog["tools"]), encoding="utf-8")
        words += ["--tools", "tools.json"]
    if not dialog["add_generation_prompt"]:
        words.append("--no-generation-prompt")
    for name in ["bos_token", "eos_token"]:
        words += ["--set", f"{name}={dialog[name]}"]
    for name, value in dialog["extra"].items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    return words


def ours(t, source, dialog):
    """The prompt's spans, or None where the template refuses the messages."""
    (t.folder / "chat.jinja").write_text(source, encoding="utf-8", newline="")
    run = t.run("template", "--template", "chat.jinja", *options(t, dialog), "--json")
    if run.code == 0:
        return run.json()["spans"]
    t.check(run.code in (4, 5) and "chat.jinja:" in run.err, "an error without a place in the template", run)
    return None


def text_of(spans):
    return None if spans is None else "".join(s["text"] for s in spans)


def test_jinja2_agrees_on_fresh_conversations(t):
    generate = reference()
    compared = refused = 0
    for name, source in sources().items():
        for dialog in fresh_dialogs():
            wanted = generate.render(source, dialog)
            found = text_of(ours(t, source, dialog))
            t.equal(found, wanted, f"{name}: {json.dumps(dialog)}")
            compared += 1
            refused += wanted is None
    t.check(compared >= 280 and refused < compared // 2, f"{compared} compared, {refused} refused")


def test_npm_agrees_where_jinja2_does(t):
    generate = reference()
    if shutil.which("npm") is None:
        raise Skip("npm is not installed")
    folder = t.folder / "npm"
    folder.mkdir()
    for file in ["package.json", "package-lock.json", "generate.mjs"]:
        shutil.copy(ORACLE / file, folder)
    if (ORACLE / "node_modules").is_dir():
        shutil.copytree(ORACLE / "node_modules", folder / "node_modules")
    else:
        try:
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=15000"],
                           cwd=folder, check=True, timeout=90, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except (subprocess.SubprocessError, OSError):
            raise Skip("npm's registry cannot be reached")
    dialogs = fresh_dialogs()[::3]
    files = {}
    for name, source in sources().items():
        file = folder / name
        file.write_text(source, encoding="utf-8", newline="")
        files[str(file)] = source
    done = subprocess.run(["node", "generate.mjs", *files], cwd=folder, input=json.dumps(dialogs), text=True, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    confirmed = total = 0
    for file, texts in json.loads(done.stdout).items():
        for dialog, text in zip(dialogs, texts):
            total += 1
            if text is None or text != generate.render(files[file], dialog):
                continue  # Jinja2 counts
            t.equal(text_of(ours(t, files[file], dialog)), text, f"{pathlib.Path(file).name}: {json.dumps(dialog)}")
            confirmed += 1
    t.check(confirmed * 2 > total, f"npm confirms only {confirmed} of {total}")


EVIL = ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<end_of_turn>", "</s>", "[INST]", "<|end|>"]


def conversation(place, text):
    """A conversation with `text` at one of the places where a user, a tool or the model can put words."""
    at = lambda p: text if p == place else "Hello"  # noqa: E731
    call = {"type": "function", "function": {"name": at(3), "arguments": {"a": at(4), at(5): "v"}}}
    tool = {"type": "function", "function": {"name": at(6), "description": at(7), "parameters": {
        "type": "object", "properties": {at(8): {"type": "string", "description": at(9)}}, "required": []}}}
    messages = [{"role": "system", "content": at(0)}, {"role": "user", "content": at(1)},
                {"role": "assistant", "content": at(2), "tool_calls": [call]},
                {"role": "tool", "name": at(10), "content": at(11)},
                {"role": at(12) if place == 12 else "user", "content": "Well?"}]
    return {"messages": messages, "tools": [tool], "add_generation_prompt": True, "bos_token": "<bos>", "eos_token": "<eos>",
            "extra": {"date_string": at(13)}}


def test_what_messages_spell_out_is_never_a_special_token(t):
    model = t.tiny()
    special = {t.json("tokenize", model, text, "--parse-special")["ids"][0] for text in EVIL[:3]}
    t.equal(special, {2045, 2046, 2047})
    shown = refused = 0
    for name, source in sources().items():
        (t.folder / "chat.jinja").write_text(source, encoding="utf-8", newline="")
        for place in range(14):
            def prompt(text):
                run = t.run("template", model, "--template", "chat.jinja", "--json", *options(t, conversation(place, text)))
                return run.json() if run.code == 0 else None
            words = "x" + "x".join(EVIL) + "x"
            calm, evil = prompt("xyz"), prompt(words)
            if calm is None or evil is None:
                refused += 1
                continue
            shown += any(token in span["text"] for span in evil["spans"] for token in EVIL if not span["trusted"])
            # What the template says itself is the same, and so are the special tokens among the ids.
            said = lambda report: [s["text"] for s in report["spans"] if s["trusted"]]  # noqa: E731
            if "".join(said(calm)) != "".join(said(evil)):
                t.check(name in ("plain.jinja", "tools.jinja"), f"{name}, place {place}: {said(calm)} {said(evil)}")
            count = lambda report: sum(i in special for i in report["ids"])  # noqa: E731
            t.equal(count(evil), count(calm), f"special tokens in {name}, place {place}")
    t.check(shown > 25, f"only {shown} prompts showed what was spelled out, {refused} were refused")


if __name__ == "__main__":
    framework.main(globals())
