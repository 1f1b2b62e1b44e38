import checkpoints
from case import case
from fixtures import checkpoint, model, setup, small, tiny

TITLE = "Convert, quantize, export"


def planted(tensor, place, value):
    return checkpoint(tensors=lambda all: all[tensor][1].__setitem__(place, value))


O = "model.layers.1.self_attn.o_proj.weight"
CASES = [
    case("asked for a type that there is not", "apr convert tiny.apr --quantize int5 -o out.apr", 3, tiny),
    case("asked for a type of another tool", "apr quantize tiny.apr -s awq -o out.apr", 3, tiny),
    case("quantized what is quantized", "apr convert int8.apr --quantize int4 -o out.apr", 5, model("int8.apr", "int8.apr")),
    case("converted a model with a NaN", "apr convert model.apr --quantize int4 -o out.apr", 5,
         planted(O, 100, float("nan")), setup("import", "model", "-o", "model.apr")),
    case("converted a model with an infinity", "apr quantize model.apr -s q8_0 -o out.apr", 5,
         planted(O, 100, float("inf")), setup("import", "model", "-o", "model.apr")),
    case("converted a weight that is too large for f16", "apr convert model.apr --quantize f16 -o out.apr", 5,
         planted(O, 100, 1e6), setup("import", "model", "-o", "model.apr")),
    case("asked for a format that cannot be written", "apr export tiny.apr --format gguf -o out", 3, tiny),
    case("mistyped the format", "apr export tiny.apr --format safetensor -o out", 3, tiny),
    case("shrank a folder that holds no model", "apr convert . --quantize int8 -o out.apr", 3),
    case("shrank a pickle", "apr quantize model.bin -s int8 -o out.apr", 9,
         lambda base: (base / "model.bin").write_bytes(b"\x80\x02}q\x00.")),
]
