"""apr lineage: a sound history, and every way in which it can be broken."""
import hashlib
import json
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
