#!/usr/bin/env python3
"""Writes the expected files from two other implementations of the language.

Usage: npm ci; generate.py [FOLDER-WITH-PUBLIC-TEMPLATES]

Reference: Python's Jinja2, set up as Hugging Face's tokenizers set it up. Second opinion: npm's
@huggingface/jinja; where the two differ the difference is printed, and recorded in the expected files as "differs".
Public templates are not ours to ship: for them only digests of the outputs are kept.
"""
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[3]


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class Generation(jinja2.ext.Extension):
    """{% generation %}: what the model itself said, in a scope of its own."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

    def _said(self, caller):
        return caller()


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, Generation])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


def render(source, dialog):
    variables = {k: v for k, v in dialog.items() if k not in ("name", "extra")} | dialog["extra"]
    try:
        return environment().from_string(source).render(documents=None, **variables)
    except Exception:  # any failure counts as the template's refusal
        return None


def digest(text):
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def main():
    dialogs = json.loads((HERE / "dialogs.json").read_text(encoding="utf-8"))
    bundled = json.loads((PROJECT / "golden/apr-tiny-chat/tokenizer_config.json").read_text(encoding="utf-8"))
    sources = {"bundled": bundled["chat_template"]}
    for path in sorted((HERE / "templates").glob("*.jinja")):
        sources[path.name] = path.read_text(encoding="utf-8")
    own = set(sources)
    if len(sys.argv) > 1:
        for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jinja")):
            sources[path.name] = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, source in sources.items():
            file = pathlib.Path(folder) / name.replace("/", "_")
            file.write_text(source, encoding="utf-8")
            files[str(file)] = name
        second = json.loads(subprocess.run(
            ["node", HERE / "generate.mjs", *files], input=json.dumps(dialogs), text=True, check=True,
            stdout=subprocess.PIPE, cwd=HERE).stdout)
    second = {files[file]: texts for file, texts in second.items()}
    ours, public, differing, total = {}, {}, 0, 0
    for name, source in sources.items():
        rows = []
        for i, dialog in enumerate(dialogs):
            text = render(source, dialog)
            row = {"dialog": dialog["name"]}
            row |= {"text": text} if name in own else {"sha256": digest(text)}
            total += 1
            if second[name][i] != text:
                differing += 1
                row["differs"] = "error" if second[name][i] is None else (
                    "no error" if text is None else "text")
                print(f"{name}: {dialog['name']}: npm differs ({row['differs']})")
            rows.append(row)
        if name in own:
            ours[name] = rows
        else:
            public[name] = {"template_sha256": hashlib.sha256(source.encode()).hexdigest(), "rows": rows}
    print(f"{total} renderings, {differing} where the two implementations differ")
    dump = lambda value: json.dumps(value, ensure_ascii=False, indent=0) + "\n"
    (HERE / "expected_own.json").write_text(dump(ours), encoding="utf-8")
    if len(sys.argv) > 1:
        (HERE / "expected_public.json").write_text(dump(public), encoding="utf-8")


if __name__ == "__main__":
    main()
