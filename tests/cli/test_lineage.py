"""apr lineage: a sound history, and every way in which it can be broken."""
import hashlib
import json
import shutil
import struct
import zlib

import checkpoints
import framework

WEIGHT = "model.layers.0.mlp.up_proj.weight"


def family(t):
    """The bundled model and two generations after it."""
    t.tiny()
    t.ok("convert", "tiny.apr", "--quantize", "f16", "-o", "half.apr")
    t.ok("convert", "half.apr", "--quantize", "int4", "-o", "small.apr")


def statuses(step):
    return {x["name"]: x["status"] for x in step["inputs"]}


def test_a_sound_history(t):
    family(t)
    report = t.json("lineage", "small.apr")
    t.equal([s["stage"] for s in report["steps"]], ["import", "convert", "convert"])
    t.equal((report["verified"], report["broken"], report["problems"], report["lost"]), (True, 0, [], []))
    roots = [t.json("inspect", f"{x}.apr")["content_root"] for x in ["tiny", "half", "small"]]
    t.equal([s["output"]["digest"] for s in report["steps"]], roots)
    t.equal([s["output"]["status"] for s in report["steps"]], ["recorded", "recorded", "verified"])
    text = t.ok("lineage", "small.apr").out
    t.contains(text, "3 steps, nothing contradicts them", "1. import", "quantize f16", "quantize int4", roots[2][:16])


def test_digests_of_the_source_are_those_of_its_files(t):
    for entry in t.json("lineage", t.tiny())["steps"][0]["inputs"]:
        data = (framework.BUNDLED / entry["name"]).read_bytes()
        t.equal(entry["sha256"], hashlib.sha256(data).hexdigest(), entry["name"])
        carried = entry["name"] != "model.safetensors"
        t.equal(entry["status"], "verified" if carried else "recorded", entry["name"])


def test_parents_and_sources(t):
    family(t)
    report = t.json("lineage", "small.apr", "--parent", "half.apr", "--parent", "tiny.apr", "--parent",
                    framework.BUNDLED)
    t.equal([s["output"]["status"] for s in report["steps"]], ["verified"] * 3)
    t.equal({x for s in report["steps"] for x in statuses(s).values()}, {"verified"})


def through_an_export(t):
    family(t)
    t.ok("export", "small.apr", "-o", "hf")
    t.ok("import", "hf", "-o", "again.apr")
    t.ok("convert", "again.apr", "--quantize", "f16", "-o", "last.apr")


def test_the_chain_goes_on_after_an_export(t):
    through_an_export(t)
    for name in ["apr_lineage.json", "model.safetensors"]:
        t.equal(json.loads(t.path("hf/apr_lineage.json").read_text())["files"].get(name),
                None if name == "apr_lineage.json" else hashlib.sha256(t.path(f"hf/{name}").read_bytes()).hexdigest())
    report = t.json("lineage", "last.apr", "--parent", "again.apr", "--parent", "hf", "--parent", "small.apr",
                    "--parent", "half.apr", "--parent", "tiny.apr", "--parent", framework.BUNDLED)
    t.equal([s["stage"] for s in report["steps"]], ["import", "convert", "convert", "export", "import", "convert"])
    t.equal({s["output"]["status"] for s in report["steps"]}, {"verified"})
    t.equal({x for s in report["steps"] for x in statuses(s).values()}, {"verified"})
    link = hashlib.sha256(t.path("hf/apr_lineage.json").read_bytes()).hexdigest()
    t.equal(report["steps"][3]["output"]["digest"], link)
    t.contains(t.ok("inspect", "last.apr").out, "import → convert (f16) → convert (int4) → export → import → convert (f16)")
    t.equal(len(t.json("lineage", "hf")["steps"]), 5)
    t.ok("validate", "last.apr", "--strict")


def test_files_changed_after_an_export(t):
    through_an_export(t)
    shutil.copytree(t.path("hf"), t.path("kept"))
    config = t.path("hf/config.json")
    config.write_text(config.read_text() + " ")
    report = t.json("lineage", "hf", code=5)
    t.contains(report["problems"][0], "apr_lineage.json", "config.json was changed after the export")
    t.equal(len(report["steps"]), 1)
    t.contains(t.json("lineage", "last.apr", "--parent", "hf", code=5)["problems"][0], "step 5 (import) read config.json")
    t.ok("import", "hf", "-o", "edited.apr")
    report = t.json("lineage", "edited.apr")
    t.contains(report["lost"][0], "config.json was changed")
    t.equal([s["stage"] for s in report["steps"]], ["import"])
    t.check(t.ok("lineage", "edited.apr").out.endswith("\n"), "the last line has no end")
    # a file that the export did not write
    shutil.rmtree(t.path("hf"))
    shutil.copytree(t.path("kept"), t.path("hf"))
    t.path("hf/special_tokens_map.json").write_text("{}")
    t.contains(t.json("lineage", "hf", code=5)["problems"][0], "special_tokens_map.json was added")


def test_a_doctored_history_of_an_export(t):
    through_an_export(t)
    path = t.path("hf/apr_lineage.json")
    sound = path.read_text()
    path.write_text(sound.replace('"int4"', '"int8"'))
    t.contains(t.json("lineage", "last.apr", "--parent", "hf", code=5)["problems"][0], "apr_lineage.json")
    # a step taken out: small.apr is then made from something that is no part of the history
    content = json.loads(sound)
    del content["lineage"][1]
    path.write_text(json.dumps(content))
    t.ok("import", "hf", "-o", "shorter.apr")
    report = t.json("lineage", "shorter.apr", "--parent", "small.apr", code=5)
    t.contains(report["problems"][0], "small.apr", "is not what comes before")
    for text, says in [("", "no JSON"), ("[1]", "none that this version reads"), ("{" * 5000, "no JSON"),
                       (sound.replace('"version": 1', '"version": 2'), "none that this version reads"),
                       (json.dumps(dict(content, files={"a": "x"})), "no SHA-256"),
                       (json.dumps(dict(content, files={})), "names no file"),
                       (json.dumps(dict(content, lineage=[])), "does not end with an export"),
                       (json.dumps(dict(content, lineage=content["lineage"][:-1])), "does not end with an export"),
                       (json.dumps(dict(content, lineage=[{"stage": 1}])), "is damaged")]:
        path.write_text(text)
        t.fails(4, "import", "hf", "-o", "x.apr", says=["apr_lineage.json", says], hint="delete the file")


def test_a_stranger_is_no_parent(t):
    family(t)
    source = checkpoints.write_folder(t.path("src"))
    t.ok("import", source, "-o", "other.apr")
    report = t.json("lineage", "small.apr", "--parent", "other.apr", code=5)
    t.contains(report["problems"][0], "other.apr", "no part of this history")
    report = t.json("lineage", "small.apr", "--parent", source, code=5)
    t.contains(report["problems"][0], "config.json", "but", str(source))
    # a child is no parent
    t.json("lineage", "half.apr", "--parent", "small.apr", code=5)


def test_a_damaged_parent(t):
    family(t)
    data = bytearray(t.path("half.apr").read_bytes())
    _, _, offset, size = checkpoints.apr_index(bytes(data))[WEIGHT]
    data[offset + size // 2] ^= 4
    t.path("half.apr").write_bytes(data)
    report = t.json("lineage", "small.apr", "--parent", "half.apr", code=5)
    t.contains(" ".join(report["problems"]), "half.apr", WEIGHT)
    t.equal(report["steps"][2]["inputs"][0]["status"], "broken")


def test_one_changed_weight(t):
    family(t)
    data = bytearray(t.path("small.apr").read_bytes())
    _, _, offset, size = checkpoints.apr_index(bytes(data))[WEIGHT]
    data[offset + size // 2] ^= 4
    t.path("small.apr").write_bytes(data)
    run = t.run("lineage", "small.apr", code=5)
    t.contains(run.out, "broken", WEIGHT, "no longer has it")
    report = t.json("lineage", "small.apr", code=5)
    t.equal(report["steps"][-1]["output"]["status"], "broken")


def sections(data):
    """type -> (slot offset, offset, size); the directory's place stands in the header's reserved bytes."""
    (at,) = struct.unpack_from("<Q", data, 48)
    found = {}
    for slot in range(16):
        kind, _, offset, size = struct.unpack_from("<IIQQ", data, at + 64 * slot)
        if kind:
            found[kind] = (at + 64 * slot, offset, size)
    return found


def test_a_rewritten_history_loses_the_trust(t):
    """The same length, another text: a record that claims another tool."""
    family(t)
    data = bytearray(t.path("small.apr").read_bytes())
    slot, offset, size = sections(bytes(data))[4]
    text = bytes(data[offset:offset + size])
    t.contains(text.decode(), '"quantize":"f16"')
    changed = text.replace(b'"quantize":"f16"', b'"quantize":"f32"')
    data[offset:offset + size] = changed
    data[slot + 24:slot + 56] = hashlib.sha256(changed).digest()
    data[-4:] = struct.pack("<I", zlib.crc32(bytes(data[:-4])))
    t.path("small.apr").write_bytes(data)
    run = t.run("lineage", "small.apr", "--json")
    t.check(run.code in (4, 5), "a rewritten history passes", run)
    t.check("LINEAGE" in run.err + run.out or "histor" in run.out, "does not say what is wrong", run)


def test_a_file_without_history(t):
    path = framework.shared("apr-fixtures/reconstructed_golden_v2_current.apr")
    report = t.json("lineage", path, code=5)
    t.equal((report["verified"], report["steps"]), (False, []))
    t.contains(report["problems"][0], "no history")
    t.contains(t.run("lineage", path, code=5).out, "lost")


def test_a_source_is_where_histories_begin(t):
    report = t.json("lineage", framework.BUNDLED)
    t.equal([s["stage"] for s in report["steps"]], ["import"])
    t.equal(set(statuses(report["steps"][0]).values()), {"verified"})


def test_missing_files(t):
    t.fails(3, "lineage", "nothing.apr", says="nothing.apr")
    t.fails(3, "lineage", t.tiny(), "--parent", "nothing.apr", says="nothing.apr")


framework.main(globals())
