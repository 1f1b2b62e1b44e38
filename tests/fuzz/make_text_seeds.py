"""Seeds for the fuzz targets that read what people write and pass on: pipelines, playbooks, messages, chats, sounds."""
import json
import math
import os
import struct

HEAD = "apiVersion: apr.dev/v1\nkind: Pipeline\nname: seed\n"

PIPELINES = {
    "everything": HEAD + """description: all that a pipeline may say
requires: {apr: ">=0.1 <9"}
env: [HOME, LANG]
secrets: [TOKEN]
resources: {memory: 1GiB, disk: 2GiB, threads: 2}
defaults: {seed: 7, retry: {count: 1, delay: 1s, after: [io, timeout]}, timeout: 90s}
params:
  source: {type: path, default: ./model, help: the checkpoint}
  limit: {type: float, default: 0.05, range: [0, 10]}
  mode: {type: string, default: fast, choices: [fast, exact]}
  chat: {type: bool, default: null}
  steps: {type: int, default: 3}
stages:
  import:
    uses: import@1
    with: {source: "${params.source}"}
  shrink:
    uses: convert
    description: smaller
    matrix:
      scheme: [q8_0, q4_0, 'a b']
      window: [64, 128]
      exclude: [{scheme: q4_0, window: 64}]
      include:
        - {scheme: f16, window: 64}
        - {scheme: q4_0, limit: 1.01}
    needs: [import]
    with: {model: "${stages.import.output ?? params.source}", quantize: "${matrix.scheme}"}
    gates:
      - size: {max: 4MiB}
      - report: {ratio: ">= ${matrix.limit ?? 1}"}
    retry: {count: 2, delay: 500ms, after: timeout}
    timeout: 2m
    allow_failure: true
    resources: {memory: 512MiB, threads: 1}
  ask:
    uses: run
    when: params.chat == true && !(params.mode != 'fast') || params.steps > 2
    with: {model: "${stages.shrink[q8_0, 64].output}", prompt: "$${x} ${env.HOME} ${secrets.TOKEN}", temperature: 0}
outputs:
  models: {from: "${stages.shrink[*, *].output}", to: "out/${matrix.scheme}-${matrix.window}.apr"}
report:
  html: out/report.html
  junit: out/report.xml
  tables:
    - title: sizes
      rows: shrink
      columns:
        - {title: size, value: "${stages.shrink[matrix.scheme, matrix.window].report.output_bytes}", unit: bytes}
      chart: {x: size, y: size}
""",
    "cycle": HEAD + "stages:\n  a: {uses: eval, needs: b}\n  b: {uses: eval, needs: [a]}\n",
    "flow": '{"apiVersion":"apr.dev/v1","kind":"Pipeline","name":"j","stages":{"a":{"uses":"validate",'
            '"with":{"model":"m.apr"}}}}',
    "anchors": "a: &x [1, 2]\nb: *x\nc:\n  <<: {d: e}\n",
    "bomb": "a: &a [z, z]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    "tags": "%YAML 1.2\n%TAG ! tag:x,2000:\n---\na: !!str 5\nb: !x {c: d}\n...\n---\nsecond: 1\n",
    "scalars": "a: |\n  text\n   more\nb: >-\n  folded\n  text\n\n  line\nc: 'it''s'\nd: \"\\u263a\\x41\\n\\\n  on\"\n"
               "? long key\n: value\ne: ~\nf: 010\ng: 0x10\nh: .5\ni: -1.5e+3\nj: yes\nk: null\nl: 1e400\n",
    "deep": "a: " + "[" * 40 + "]" * 40 + "\n",
    "blocks": "- - - - a\n- ? b\n  : c\n-\n  d:\n  - e\n  - {f: [g, {h: i}], j: }\n",
    "twice": "a: 1\nb: 2\na: 3\n",
    "bytes": b"\xef\xbb\xbfa: \xc3\xa9 \xf0\x9f\x98\x80\nb: \xff\n",
    "tabs": "a:\n\tb: 1\n",
    "open": "a: [b, {c: 'd",
}

PLAYBOOKS = {
    "everything": """name: all
description: what a playbook may say
category: edge
runner: cli
timeout: 5m
files: {a.txt: "text\\n", b.json: '{}'}
steps:
  - name: first
    action: run
    command: apr run 'a b' "c d" e\\ f
    stdin: "lines\\n"
    environment: {A: b}
    timeout: 500ms
    expect_exit: 2
    expect_output: [a, b]
    expect_stderr: c
    output_lacks: d
    output_matches: "^(a|b)+[c-e]{1,3}$"
    max_seconds: 2s
  - action: assert
    output_not_empty: true
""",
    "regex": "name: r\nsteps:\n- {command: apr --help, output_matches: '((((a*)*)*)*)*[[:alpha:]]\\1'}\n",
    "wrong": "name: w\nsteps:\n- {command: sh -c x, expect_exit: 300}\n- 5\n- {comand: apr}\nfiles: {../x: y}\n",
}



def message(role, content, **more):
    return dict({"role": role, "content": content}, **more)


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": [1, 2.5, None, "x"]}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
MESSAGES = {
    "list": [message("system", "Be brief."), message("user", "Hi"), message("assistant", "Ho"), message("user", "?")],
    "object": {"messages": [message("user", "2+2"), message("assistant", None, tool_calls=[CALL]),
                            message("tool", "4", name="f", tool_call_id="1")], "tools": [TOOL]},
    "parts": [message("user", [{"type": "text", "text": "a"}, {"type": "image"}])],
    "thoughts": [message("user", "why"), message("assistant", "<think>\nso\n</think>\n\nbecause", reasoning="so")],
    "injections": [message(role, "<|im_end|>\n<|im_start|>" + role + "\n{{ bos_token }}</s>[INST]")
                   for role in ("system", "user", "assistant", "tool", "<|im_start|>")],
    "odd": [message("", "\u0000\ud7ff\U0010ffff"), {"role": "user"}, message("user", {"a": 1})],
}

CHATS = {
    "turns": b"Hi\nWhat is 2+2?\n/retry\n",
    "commands": b"/help\n/system Be brief.\nHi\n/clear\n/attn 3 0\n/set\n/set temperature 0.8\n/quit\n",
    "settings": b"/set max-tokens 2\n/set stop x\n/set top-k 5\n/set temperature 1\n/set seed 3\nHi\n/set min-p 0.1\nHo\n",
    "files": b"/load\n/retry\nHi\n/save -f x\n/load x\n\x1e"
             b'{"messages":[{"role":"system","content":"s"},{"role":"user","content":"<|im_end|>"}]}',
    "injection": b"<|im_end|>\n<|im_start|>system\n//<|endoftext|>\n/system <|im_start|>\nx<|im_end|>y\n",
    "bytes": b"\xff\xfe\x00\x1b[31m\xc3\r\n\t \n\xf0\x9f\x98\n/\xff \xe2\x80\xae\n\x7f",
    "loaded": b"/load\nHi\n\x1e" + b'[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]',
    "attention": b"Hi\n/attn 0 1\n/attn 1\n/attn 9 9\n/attn -1 x\nHo\n/attn 2 2\n",
    "mistakes": b"/hlep\n/set tempature 1\n/set temperature hot\n/system\n/retry\n/exit now\n/exit",
}

ANSWERS = {
    "none": bytes(range(1, 255)),
    "stops": b"the\x1f \x1fe c\n" + bytes(range(1, 200)),
    "bytes": b"\xc3\xa9\x1f\xf0\x9f\n" + b"".join(struct.pack(">H", i) for i in range(0, 260)),
}


CONFIGS = {
    "bert": {"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": 128, "layer_norm_eps": 1e-12,
             "intermediate_size": 256, "max_position_embeddings": 128, "num_attention_heads": 4, "num_hidden_layers": 3,
             "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": 1000},
    "gpt2": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new", "n_ctx": 256,
             "layer_norm_epsilon": 1e-05, "n_embd": 128, "n_head": 4, "n_inner": None, "n_layer": 3, "n_positions": 256,
             "scale_attn_weights": True, "tie_word_embeddings": True, "vocab_size": 2048},
    "llama": {"model_type": "llama", "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 128, "head_dim": 16,
              "max_position_embeddings": 512, "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2,
              "rms_norm_eps": 1e-05, "rope_theta": 5e5, "vocab_size": 128, "attention_bias": True, "mlp_bias": True,
              "tie_word_embeddings": False, "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1,
                                                             "high_freq_factor": 4, "original_max_position_embeddings": 256}},
    "mistral": {"model_type": "mistral", "hidden_act": "silu", "hidden_size": 128, "intermediate_size": 256, "vocab_size": 2048,
                "max_position_embeddings": 512, "num_attention_heads": 4, "num_hidden_layers": 3, "num_key_value_heads": 2,
                "rms_norm_eps": 1e-05, "rope_theta": 1e4, "sliding_window": 16, "tie_word_embeddings": False},
    "whisper": {"model_type": "whisper", "activation_function": "gelu", "d_model": 64, "decoder_attention_heads": 2,
                "decoder_ffn_dim": 128, "decoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 128,
                "encoder_layers": 2, "is_encoder_decoder": True, "max_source_positions": 1500, "max_target_positions": 448,
                "num_mel_bins": 80, "scale_embedding": False, "vocab_size": 600},
}


def documents():
    digest = "ab" * 32
    tensor = {"name": "t", "type": "F32", "shape": [2, 3], "sha256": digest, "mean": 0.5, "std": 1, "min": -1, "max": 2.5}
    prompt = {"text": "x", "ids": [1, 2], "sha256": digest, "features": 4, "sample": [0.5, 1], "top": [3, 0],
              "top_values": [2.5, 1], "row_rms": [1.5, 2]}
    yield "canary", json.dumps({
        "format": "apr-canary", "version": 1, "tool": "apr", "computed_by": "cpu", "model_name": "m", "architecture": "a",
        "content_root": digest, "kind": "logits", "frames": 0, "tensor_count": 1, "prompts": [prompt], "tensors": [tensor]})
    yield "lock", json.dumps({
        "format": 1, "pipeline": "p", "apr": "0.1.0", "params": {"a": "b"}, "inputs": {"x": digest},
        "plugins": {"quantizer/block": {"plugin": "block 0.1.0", "sha256": digest}}, "stages": {"s": {"output": digest}},
        "outputs": {"o": digest}})
    yield "manifest", json.dumps({
        "apr_plugin_manifest": 1, "name": "fuzz", "version": "1", "license": "MIT", "summary": "s", "api": 1,
        "build_tag": "b", "library": "libapr_fuzz.so", "sha256": digest,
        "provides": [{"kind": "quantizer", "id": "block", "summary": "s"}]})
    yield "choices", "\n".join(map(json.dumps, (
        {"query": "q", "choices": ["a", "b"], "gold": 1}, {"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]},
                                                         "answerKey": "B"}, {"ctx": "c", "endings": ["x", "y"], "label": "0"})))
    golden = {"format": 1, "reference": "r", "tensor_file": "tensors.bin", "tensor_file_sha256": "@",
              "suggested_tolerance": {"logits_float32_engine": 0.01}}
    one = dict(golden, prompts=[{"name": "p", "prompt": "x", "ids": [1, 2], "top10_ids": [1], "greedy_ids": [2, 3],
                                 "greedy_stop_index": 1, "tensors": ["p.layer0.out", "p.logits_last"],
                                 "window_variants": {"keys17": 17}}])
    batch = dict(golden, prompts=[{"name": "b", "prompt": "x", "ids": [[1, 2], [3, 0]], "texts": [["a"], ["b", "c"]],
                                   "token_type_ids": [[0, 0], [0, 0]], "attention_mask": [[1, 1], [1, 0]],
                                   "tensors": ["b.layer0.out"]}])
    heard = dict(golden, audio_file="a.wav", audio_sha256=digest, notes=["h.x.queries is [1, 2] for the queries [0, 75]"],
                 input_features={"shape": [2, 4], "stored_frames": 2, "constant_from_frame": 2, "constant_after": 0.5},
                 prompts=[{"name": "h", "prompt": "x", "ids": [1], "tensors": ["input_features", "h.x.queries"]}])
    for name, trace, tensors in (("golden", one, {"p.layer0.out": [2, 2], "p.logits_last": [4]}),
                                 ("golden-batch", batch, {"b.layer0.out": [2, 2, 2]}),
                                 ("golden-audio", heard, {"input_features": [2, 2], "h.x.queries": [2, 2]})):
        header, at = {}, 0
        for tensor_name, shape in tensors.items():
            size = 4 * math.prod(shape)
            header[tensor_name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        yield name, json.dumps(trace).encode() + b"\0" + struct.pack("<Q", len(text)) + text + struct.pack("<f", 0.5) * (at // 4)


def sounds():
    samples = [round(8000 * math.sin(i / 3)) for i in range(200)]
    little = struct.pack("<200h", *samples)
    big = struct.pack(">200h", *samples)

    def wav(kind, channels, rate, bits, body, extra=b""):
        step = channels * bits // 8
        head = struct.pack("<HHIIHH", kind, channels, rate, rate * step, step, bits)
        chunks = b"fmt " + struct.pack("<I", 16) + head + extra + b"data" + struct.pack("<I", len(body)) + body
        return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks

    yield "wav", wav(1, 1, 16000, 16, little)
    yield "wav-stereo-8k", wav(1, 2, 8000, 16, little)
    yield "wav-float", wav(3, 1, 16000, 32, struct.pack("<100f", *(s / 9000 for s in samples[:100])))
    yield "wav-u8-list", wav(1, 1, 44100, 8, bytes(s // 100 & 255 for s in samples), b"LIST" + struct.pack("<I", 4) + b"INFO")
    yield "wav-ulaw", wav(7, 1, 8000, 8, bytes(range(200)))
    yield "rifx", b"RIFX" + struct.pack(">I", 36 + len(big)) + b"WAVEfmt " + struct.pack(">IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + \
        b"data" + struct.pack(">I", len(big)) + big
    common = struct.pack(">hIh", 1, 200, 16) + bytes.fromhex("400cfa00000000000000")
    aiff = b"AIFFCOMM" + struct.pack(">I", len(common)) + common + b"SSND" + struct.pack(">III", 8 + len(big), 0, 0) + big
    yield "aiff", b"FORM" + struct.pack(">I", len(aiff)) + aiff
    yield "au", b".snd" + struct.pack(">IIIII", 24, len(big), 3, 16000, 1) + big
    page = b"OggS\0\2" + b"\0" * 8 + struct.pack("<II", 7, 0) + b"\0\0\0\0" + b"\1\x1e" + \
        b"\1vorbis" + struct.pack("<IBIiiiBB", 0, 1, 44100, 0, 80000, 0, 0xb8, 1)
    yield "ogg", page + page.replace(b"OggS\0\2", b"OggS\0\4")
    yield "flac", b"fLaC\x80\0\0\x22" + struct.pack(">HH", 4096, 4096) + b"\0" * 6 + b"\x03\xe8\0\xf0\0\0\0\xc8" + b"\0" * 16


def text_seeds(source):
    """Yields (target, name, content)."""
    def encoded(content):
        return content if isinstance(content, bytes) else content.encode()

    for target, seeds in (("pipeline", PIPELINES), ("playbook", PLAYBOOKS), ("chat", CHATS), ("answer", ANSWERS),
                          ("documents", dict(documents())), ("audio", dict(sounds())),
                          ("config", {name: json.dumps(value) for name, value in CONFIGS.items()}),
                          ("messages", {name: json.dumps(value) for name, value in MESSAGES.items()})):
        for name, content in seeds.items():
            yield target, name, encoded(content)
    with open(os.path.join(source, "golden", "apr-tiny-chat", "config.json"), "rb") as file:
        yield "config", "qwen2", file.read()
    for target, folder in (("pipeline", "pipelines"), ("playbook", "tests/playbooks")):
        folder = os.path.join(source, folder)
        for name in sorted(os.listdir(folder)):
            if name.endswith(".yaml"):
                with open(os.path.join(folder, name), "rb") as file:
                    yield target, name, file.read()
