import struct

import checkpoints
from case import case
from fixtures import checkpoint, damaged, file, flip, folder, model, setup, small, tiny

TITLE = "Comparisons: diff, compare-hf"
Q = "model.layers.0.self_attn.q_proj.weight"
NUMBERS = [(r"-?\d[\d.]*e[+-]\d+|-?\d+\.\d+", "…"), (r" +…", "  …")]
CASES = [
    case("compared with a file that is not there", "apr diff tiny.apr other.apr", 3, tiny),
    case("compared with one model only", "apr diff tiny.apr", 2, tiny),
    case("compared a model with a trace", "apr diff small.apr t", 2, small,
         setup("trace", "small.apr", "--prompt", "Hello", "--export", "t")),
    case("compared with a filter that matches nothing", "apr diff tiny.apr small.apr --filter 'layers.9*'", 3, tiny, small),
    case("compared models that differ in one weight", "apr diff small.apr broken.apr", 5, small, damaged(flip(Q)), show="both"),
    case("compared traces with a filter that matches nothing", "apr diff t u --filter nothing", 3, small,
         setup("trace", "small.apr", "--prompt", "Hello", "--export", "t"),
         setup("trace", "small.apr", "--prompt", "Hello", "--export", "u")),
    case("compared a trace that lost its tensors", "apr diff t u", 3, small,
         setup("trace", "small.apr", "--prompt", "Hello", "--export", "t"),
         setup("trace", "small.apr", "--prompt", "Hello", "--export", "u"), lambda base: [p.unlink() for p in (base / "u").glob("*.safetensors")]),
    case("compared with a repository of the hub", "apr compare-hf tiny.apr --hf Qwen/Qwen2-0.5B", 9, tiny),
    case("compared with a checkpoint that is not there", "apr compare-hf tiny.apr --hf ./checkpoint", 3, tiny),
    case("compared with another checkpoint", "apr compare-hf small.apr --hf model", 5, small, checkpoint(
        tensors=lambda all: all[Q][1].__setitem__(7, 1.0)), show="both"),
    case("compared tensors that there are not", "apr compare-hf small.apr --hf model --tensor 'layers.9*'", 3, small, checkpoint()),
    case("compared traces of different prompts", "apr diff t u", 5, small,
         setup("trace", "small.apr", "--prompt", "Hello", "--export", "t"),
         setup("trace", "small.apr", "--prompt", "there", "--export", "u"), show="both", hide=NUMBERS),
    case("compared traces of different values", "apr diff t u", 5, small,
         setup("trace", "small.apr", "--prompt", "Hello", "--nodes", "embed", "--export", "t"),
         setup("trace", "small.apr", "--prompt", "Hello", "--nodes", "final_norm", "--export", "u"), show="both", hide=NUMBERS),
    case("compared with a checkpoint of another vocabulary", "apr compare-hf small.apr --hf $MODEL --tensor '*norm*'", 5, small, show="both"),
]
