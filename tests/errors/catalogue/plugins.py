import hashlib

import fixtures
from case import case
from fixtures import checkpoint, do, plugin, tiny

TITLE = "Plugins"
DIGEST = [("[0-9a-f]{64}", "…")]


def manifest(wrong, change, code=5, library=None):
    return case(wrong, "apr plugins verify quantizer_block --plugin-path plugins", code, plugin(change, library=library), show="both",
                hide=DIGEST)


def other_library(read):
    """The manifest of one plugin over the library of another."""
    library = fixtures.PROGRAMS[0].parent / "lib" / "apr" / "plugins" / "libapr_arch_bert.so"
    read.update(library=str(library.name), sha256=hashlib.sha256(library.read_bytes()).hexdigest())
    return ("also", library)


def drop(key):
    return lambda read: read.pop(key) and None


def put(key, value):
    return lambda read: read.__setitem__(key, value)


USE = "apr convert tiny.apr --quantize int8 -o out.apr --plugin-path plugins"
CASES = [
    case("asked about a plugin that there is not", "apr plugins info quantizer_blok", 3),
    case("asked about a plugin that is like no other", "apr plugins info frobnicator", 3),
    case("checked a plugin that there is not", "apr plugins verify frobnicator", 3),
    case("gave a folder of plugins that is not there", "apr plugins list --plugin-path plugins", 3),
    case("gave an empty name as the folder of plugins", "apr plugins list --plugin-path ''", 3),
    case("gave apr-pipeline a folder of plugins that is not there",
         "apr-pipeline run demo.yaml --plugin-path plugins", 3, lambda base: (base / "demo.yaml").write_text(
             "apiVersion: apr.dev/v1\nkind: Pipeline\nname: demo\nstages:\n  look: {uses: inspect, with: {model: m.apr}}\n")),
    case("has a plugin whose library was changed", USE, 5, tiny, plugin(library=lambda c: c + b"\0"), hide=DIGEST),
    case("has a plugin that was built for another interface", USE, 6, tiny, plugin(put("api", 999))),
    case("has a plugin that was built by another compiler", USE, 6, tiny, plugin(put("build_tag", "gcc-4+libstdc++"))),
    case("has a plugin without its library", USE, 6, tiny, plugin(library=lambda c: None)),
    case("has a plugin that anybody may write", USE, 6, tiny, plugin(), do(lambda p: p.chmod(0o777), "plugins/libapr_quantizer_block.so")),
    case("has a folder of plugins that anybody may write", "apr plugins verify --plugin-path plugins | head -1", 5, plugin(), do(lambda p: p.chmod(0o777), "plugins"), show="both"),
    manifest("has a plugin whose library was changed after it was built", None, library=lambda c: c + b"\0"),
    manifest("has a plugin whose library is a text", None, library=lambda c: b"no library"),
    manifest("has a manifest of another compiler", put("build_tag", "gcc-4+libstdc++")),
    manifest("has a manifest of another interface", put("api", 999)),
    case("has a manifest that is no JSON", "apr plugins verify --plugin-path plugins | head -3", 5, plugin(lambda read: "{"),
         show="both"),
    case("has a manifest that is a list", "apr plugins verify --plugin-path plugins | head -3", 5, plugin(lambda read: "[]"),
         show="both"),
    manifest("has a manifest without a version", drop("version")),
    manifest("has a manifest with a number for a text", put("version", 7)),
    manifest("has a manifest with a line break", put("summary", "a\nb")),
    manifest("has a manifest with an interface that is a text", put("api", "one")),
    manifest("has a manifest that provides a text", put("provides", "schemes")),
    manifest("has a manifest that provides something without a name", put("provides", [{"kind": "scheme"}])),
    manifest("has a manifest with a broken digest", put("sha256", "abc")),
    manifest("has a manifest that leads out of its folder", put("library", "../x.so")),
    manifest("has a plugin whose library cannot be loaded", lambda read: read.update(sha256=hashlib.sha256(b"no library").hexdigest()),
             library=lambda c: b"no library"),
    case("has a plugin under another plugin's name", USE, 6, tiny, plugin(other_library)),
    manifest("has a manifest with a text beyond all use", put("summary", "x" * 2000)),
    case("lost the importer", "apr inspect model --plugin-path plugins", 9, checkpoint(), plugin(put("api", 999), "importer_safetensors")),
]
