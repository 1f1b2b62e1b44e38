"""Small checkpoints made on the spot, whole or broken in one way: the independent writer of the tests' sources."""
import json
import pathlib
import random
import shutil
import struct

import framework

HIDDEN, LAYERS, HEADS, KV_HEADS, FEED, VOCAB = 64, 2, 4, 2, 96, 320

CONFIG = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": HIDDEN,
    "intermediate_size": FEED, "max_position_embeddings": 128, "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS, "num_key_value_heads": KV_HEADS, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
    "tie_word_embeddings": True, "use_sliding_window": False, "vocab_size": VOCAB,
}


def shapes():
    kv = HIDDEN // HEADS * KV_HEADS
    result = {"model.embed_tokens.weight": [VOCAB, HIDDEN], "model.norm.weight": [HIDDEN]}
    for layer in range(LAYERS):
        p = f"model.layers.{layer}."
        result |= {
            p + "input_layernorm.weight": [HIDDEN], p + "post_attention_layernorm.weight": [HIDDEN],
            p + "self_attn.q_proj.weight": [HIDDEN, HIDDEN], p + "self_attn.q_proj.bias": [HIDDEN],
            p + "self_attn.k_proj.weight": [kv, HIDDEN], p + "self_attn.k_proj.bias": [kv],
            p + "self_attn.v_proj.weight": [kv, HIDDEN], p + "self_attn.v_proj.bias": [kv],
            p + "self_attn.o_proj.weight": [HIDDEN, HIDDEN],
            p + "mlp.gate_proj.weight": [FEED, HIDDEN], p + "mlp.up_proj.weight": [FEED, HIDDEN],
            p + "mlp.down_proj.weight": [HIDDEN, FEED],
        }
    return result


def count(shape):
    n = 1
    for dim in shape:
        n *= dim
    return n


def weights(seed=1):
    """name -> (shape, floats), as float32."""
    generator = random.Random(seed)
    return {name: (shape, [generator.gauss(0, 0.05) for _ in range(count(shape))])
            for name, shape in shapes().items()}


def write_safetensors(path, tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (shape, floats) in sorted(tensors.items()):
        raw = struct.pack(f"<{len(floats)}f", *floats)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def tokenizer_json():
    """Byte-level BPE without merges: 256 bytes and one special token."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled, extra = {}, 0
    for byte in range(256):
        if byte in visible:
            spelled[byte] = chr(byte)
        else:
            spelled[byte] = chr(256 + extra)
            extra += 1
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 256, "content": "<|end|>", "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False,
                  "vocab": {spelled[byte]: byte for byte in range(256)}, "merges": []},
    }


def write_folder(path, tensors=None, config=None, tokenizer=True):
    folder = pathlib.Path(path)
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", weights() if tensors is None else tensors)
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    if tokenizer:
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    return folder


def copy_bundled(path):
    folder = pathlib.Path(path)
    folder.mkdir()
    for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                 "tokenizer_config.json"]:
        shutil.copyfile(framework.BUNDLED / name, folder / name)
    return folder


def apr_header(data):
    """Offsets of an .apr file's parts."""
    names = ["flags", "tensor_count", "metadata_offset", "metadata_size", "index_offset", "data_offset"]
    values = struct.unpack_from("<HIQIQQ", data, 6)
    return dict(zip(names, values))


def apr_index(data):
    """name -> (dtype byte, shape, absolute offset, size)."""
    header, entries = apr_header(data), {}
    at = header["index_offset"]
    for _ in range(header["tensor_count"]):
        (size,) = struct.unpack_from("<H", data, at)
        name = data[at + 2:at + 2 + size].decode()
        at += 2 + size
        dtype, rank = data[at], data[at + 1]
        shape = list(struct.unpack_from(f"<{rank}Q", data, at + 2))
        offset, stored = struct.unpack_from("<QQ", data, at + 2 + 8 * rank)
        at += 18 + 8 * rank
        entries[name] = (dtype, shape, header["data_offset"] + offset, stored)
    return entries
