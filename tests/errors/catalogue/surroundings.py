import json
import os
import struct

import checkpoints

from case import case
from fixtures import SHARED, checkpoint, do, file, folder, put, small, tiny

TITLE = "The machine around the programs"


def closed(path):
    os.chmod(path, 0)


def read_only(path):
    os.chmod(path, 0o555)


def unlinked_copy(name):
    """A copy of its own, whose permissions may be changed."""
    def make(base):
        (base / name).write_bytes(SHARED["small.apr"].read_bytes())
    return make


def sparse(base):
    """A safetensors file of eight gigabytes that takes no room."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 31], "data_offsets": [0, 1 << 33]}}).encode()
    with open(base / "huge.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(header)) + header)
        out.truncate(8 + len(header) + (1 << 33))
    (base / "config.json").write_text(json.dumps(checkpoints.CONFIG))


CASES = [
    case("may not read the model", "apr inspect small.apr", 7, unlinked_copy("small.apr"), do(closed, "small.apr"), person=True),
    case("may not look into the folder", "apr inspect models", 7, folder("models"), do(closed, "models"), person=True),
    case("may not write into the folder", "apr convert small.apr --quantize int8 -o there/out.apr", 7, small, folder("there"),
         do(read_only, "there"), person=True),
    case("may not make the exported folder", "apr export small.apr -o there/out", 7, small, folder("there"), do(read_only, "there"),
         person=True),
    case("ran a pipeline where the state folder cannot be made", "apr-pipeline run demo.yaml", 7, folder("x"),
         file("demo.yaml", "apiVersion: apr.dev/v1\nkind: Pipeline\nname: demo\nstages:\n"
              "  look: {uses: inspect, with: {model: small.apr}}\n"), small, do(read_only, "."), person=True),
    case("sent the result to a full disk", "apr tensors small.apr > /dev/full", 7, small),
    case("sent help to a full disk", "apr help > /dev/full", 7),
    case("sent a list of stages to a full disk", "apr-pipeline schema > /dev/full", 7),
    case("sent an answer to a full disk", "apr run small.apr Hello --max-tokens 4 > /dev/full", 7, small),
    case("sent the runtime's answer to a full disk", "apr-runtime small.apr Hello -n 4 --raw > /dev/full", 7, small),
    case("may not write files of that size", "ulimit -f 100; apr convert tiny.apr --quantize int8 -o out.apr", 7, tiny),
    case("may not write exported files of that size", "ulimit -f 100; apr export tiny.apr -o out", 7, tiny),
    case("closed standard output", "apr tensors small.apr >&-", 7, small),
    case("has too little address space to map a model", "ulimit -v 2000000; apr tensors huge.safetensors", 7, sparse),
    case("asked for an answer that no memory holds", "apr run model Hello --raw --max-tokens 1900000000", 2,
         checkpoint(config=put(max_position_embeddings=2 * 10**9)), hide=[(r"and [0-9.]+ \w+ are free", "and … are free")]),
    case("has a relative folder in APR_PLUGIN_PATH", "APR_PLUGIN_PATH=plugins apr plugins list", 2),
    case("has no place for temporary files", "TMPDIR=/nowhere apr probador playbook run mine.yaml", 7,
         file("mine.yaml", "name: mine\nsteps:\n  - command: apr --version\n")),
    case("pressed Ctrl-C while a model was measured", "apr bench tiny.apr --repeat 1000", 130, tiny, interrupt=True),
    case("pressed Ctrl-C while a text was read", "apr eval tiny.apr --dataset text.txt --stride 1", 130, tiny,
         file("text.txt", "the cat and the dog " * 20000), interrupt=True),
    case("pressed Ctrl-C in the middle of a long answer", "apr bench tiny.apr --decode 500 --repeat 1000 --json", 130, tiny,
         interrupt=True),
]
