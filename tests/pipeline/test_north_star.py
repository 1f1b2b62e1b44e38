"""The north-star pipeline on the bundled model, and faults that its gates must find."""
import json
import shutil
import struct

import framework
from helpers import HEAD, fails, project, states

NORTH_STAR = (framework.SOURCE / "pipelines" / "north-star.yaml").read_text()
OUTPUTS = ["model-int4.apr", "model-int8.apr", "model.apr", "safetensors"]


def north_star(t):
    """The pipeline in its folder of a project, so that nothing is written to the real one."""
    (t.folder / "golden").symlink_to(framework.SOURCE / "golden")
    return project(t, NORTH_STAR, name="north-star.yaml", folder=t.path("pipelines"))


def spoiled(t, change, config=None):
    """A copy of the bundled model in which `change(name, values)` has edited the weights (as 16-bit words)."""
    folder = t.path("spoiled")
    shutil.copytree(framework.BUNDLED, folder)
    if config:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in tensor["data_offsets"])
        words = memoryview(data)[begin:end].cast("H")
        change(name, words)
        words.release()
    path.write_bytes(data)
    return folder


def nothing(name, words):
    pass


def test_the_whole_way(t):
    path = north_star(t)
    report = t.json("run", path)
    t.equal(set(states(report).values()), {"ran"})
    t.equal(sorted(p.name for p in (t.folder / "out" / "north-star").iterdir()), OUTPUTS)
    gates = [gate for stage in report["stages"] for gate in stage.get("gates", [])]
    t.equal(len(gates), 6, "number of gates")
    t.check(all(gate["passed"] for gate in gates), f"a gate failed: {gates}")
    chat = next(stage for stage in report["stages"] if stage["name"] == "chat")
    t.contains(chat["printed"], "4")
    again = t.ok("run", path)
    t.contains(again.out, "7 cached", "│ 4", "✓ gate golden-trace", "✓ gate kld")
    t.contains(t.ok("plan", path).out, "7 cached, 0 to run", "golden-trace: every node agrees", "kld: mean_kld")


def test_the_hub_is_not_there_yet(t):
    fails(t, 9, "run", north_star(t), "--set", "source=hf://Qwen/Qwen2-0.5B-Instruct",
          says="the hub importer is not part of this version yet")


def check_golden_gate_fires(t, source):
    run = fails(t, 5, "run", north_star(t), "--set", f"source={source}",
                says=["stage 'import'", "gate golden-trace failed", "first at node "])
    t.contains(run.out, "✗ gate golden-trace", "cancelled")
    t.check(not (t.folder / "out").exists(), "something was published", run)


def test_one_changed_weight_is_found(t):
    def change(name, words):
        if name == "model.layers.2.mlp.down_proj.weight":
            words[1234] ^= 0x8000 | 0x0100  # another sign and about twice the size
    check_golden_gate_fires(t, spoiled(t, change))


def test_a_wrong_rope_base_is_found(t):
    check_golden_gate_fires(t, spoiled(t, nothing, {"rope_theta": 10000.0}))


def test_swapped_nibbles_are_found(t):
    """In Q4_0, byte i of a block holds elements i and i + 16: swapping the nibbles of every byte swaps the halves
    of every 32 elements. Done to the weights before they are quantized, that gives the same blocks."""
    def change(name, words):
        if name == "model.layers.1.mlp.up_proj.weight":
            values = words.tolist()
            for begin in range(0, len(values), 32):
                block = values[begin:begin + 32]
                words[begin:begin + 32] = memoryview(struct.pack("<32H", *block[16:], *block[:16])).cast("H")

    spoiled(t, change)
    text = t.path("text.txt")
    whole = (framework.BUNDLED / "golden" / "eval.txt").read_text()
    text.write_text(whole[:len(whole) // 8])
    gates = {
        "perplexity": "{text: text.txt, ratio_to: \"${stages.good.output}\", max_ratio: 1.03}",
        "kld": "{parent: \"${stages.good.output}\", text: text.txt, mean: \"<= 0.02\", top1: \">= 0.9\"}",
    }
    for gate, settings in gates.items():
        path = project(t, HEAD + f"""\
params:
  source: {{type: path, default: golden/apr-tiny-chat}}
stages:
  good: {{uses: import, with: {{source: golden/apr-tiny-chat}}}}
  maybe: {{uses: import, with: {{source: "${{params.source}}"}}}}
  small:
    uses: convert
    with: {{model: "${{stages.maybe.output}}", quantize: int4}}
    gates: [{{{gate}: {settings}}}]
outputs:
  small: {{from: "${{stages.small.output}}", to: small.apr}}
""")
        t.ok("run", path)
        t.check(t.path("small.apr").exists(), "the sound model was not published")
        t.path("small.apr").unlink()
        run = fails(t, 5, "run", path, "--set", "source=spoiled",
                    says=["stage 'small'", f"gate {gate} failed", "breaks the limit"])
        t.check(not t.path("small.apr").exists(), "the spoiled model was published", run)


if __name__ == "__main__":
    framework.main(globals())
