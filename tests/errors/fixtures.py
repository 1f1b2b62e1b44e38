"""Small models and files for the catalogue, whole or wrong in one way. Every function returns one that takes the
entry's folder; nothing but golden/apr-tiny-chat is needed."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import zlib

import checkpoints
import framework

BUNDLED = framework.BUNDLED
SHARED = {}          # models that are made once and linked into the entries' folders
PROGRAMS = []


def prepare(programs, base):
    """Makes what many entries need."""
    PROGRAMS[:] = [pathlib.Path(programs)]
    keep = pathlib.Path(base) / "models"
    keep.mkdir()
    checkpoints.write_folder(keep / "small")
    for name, words in {
            "tiny.apr": ["import", BUNDLED], "small.apr": ["import", keep / "small"],
            "int8.apr": ["convert", keep / "tiny.apr", "--quantize", "int8"],
            "small-int4.apr": ["convert", keep / "small.apr", "--quantize", "int4"]}.items():
        apr(*words, "-o", keep / name)
        SHARED[name] = keep / name


def apr(*words, cwd=None):
    done = subprocess.run([PROGRAMS[0] / "apr", *map(str, words)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"a fixture could not be made: {words}\n{done.stderr.decode()}")


def model(name="tiny.apr", source="tiny.apr"):
    """One of the models made once, under a name of the entry's own."""
    def make(folder):
        shutil.copyfile(SHARED[source], folder / name)
    return make


tiny = model()
small = model("small.apr", "small.apr")


def file(name, content=""):
    def make(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return make


def lines(name, *rows):
    return file(name, "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


def data(name, value):
    return file(name, json.dumps(value))


def folder(name):
    def make(base):
        (base / name).mkdir(parents=True)
    return make


def setup(*words):
    """A command of apr that succeeds before the entry's own."""
    def make(base):
        apr(*words, cwd=base)
    return make


def do(function, *arguments):
    """Any step on a path in the entry's folder: do(os.mkfifo, "pipe")."""
    def make(base):
        function(base / arguments[0], *arguments[1:])
    return make


# Folders with a checkpoint -----------------------------------------------------------------------------------------

def checkpoint(name="model", tensors=None, config=None, tokenizer=True, **files):
    """A small Qwen2 folder. `tensors`, `config` and `tokenizer` may be functions that change what is written."""
    def make(base):
        weights = checkpoints.weights()
        settings = dict(checkpoints.CONFIG)
        if callable(tensors):
            tensors(weights)
        if callable(config):
            config(settings)
        checkpoints.write_folder(base / name, weights, settings, bool(tokenizer))
        if callable(tokenizer):
            read = checkpoints.tokenizer_json()
            changed = tokenizer(read)
            (base / name / "tokenizer.json").write_text(json.dumps(read if changed is None else changed))
        for other, content in files.items():
            path = base / name / other.replace("__", ".")
            if content is None:
                path.unlink()
            else:
                path.write_text(content if isinstance(content, str) else json.dumps(content))
    return make


def put(**values):
    """A change of a JSON object: fields set, or removed where the value is None."""
    def change(settings):
        for name, value in values.items():
            if value is None:
                settings.pop(name, None)
            else:
                settings[name] = value
    return change


def at(path, value):
    """A change deep in a JSON document: at("model.vocab", {})."""
    def change(document):
        *way, last = path.split(".")
        for step in way:
            document = document[int(step) if step.isdigit() else step]
        document[int(last) if last.isdigit() else last] = value
    return change


def safetensors(name, header, payload=b"\0" * 64):
    """A safetensors file with this header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return file(name, struct.pack("<Q", len(text)) + text + payload)


# .apr files, damaged -----------------------------------------------------------------------------------------------

def damaged(change, name="broken.apr", source="small.apr", sealed=True):
    """A model's bytes, changed; with `sealed` the header's checksum fits again, so that what follows is reached."""
    def make(base):
        content = bytearray(SHARED[source].read_bytes())
        changed = change(content)
        content = content if changed is None else bytearray(changed)
        if sealed and len(content) >= 64:
            struct.pack_into("<I", content, 40, zlib.crc32(bytes(content[0:40]) + bytes(content[44:64])))
        (base / name).write_bytes(content)
    return make


def field(place, pattern, value):
    """A number of the header or anywhere else."""
    return lambda content: struct.pack_into(pattern, content, place, value)


def index_entry(number, change):
    """A change of the index's entry `number`: change(content, place of its name's length, name's length)."""
    def apply(content):
        head = checkpoints.apr_header(bytes(content))
        place = head["index_offset"]
        for _ in range(number):
            (size,) = struct.unpack_from("<H", content, place)
            place += 2 + size + 2 + 8 * content[place + 2 + size + 1] + 16
        (size,) = struct.unpack_from("<H", content, place)
        return change(content, place, size)
    return apply


def flip(tensor):
    """One bit of one tensor's weights."""
    def apply(content):
        place = checkpoints.apr_index(bytes(content))[tensor][2]
        content[place + 1] ^= 1
    return apply


# Encoders ------------------------------------------------------------------------------------------------------------

BERT_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "there", "##s"]


def linear(name, out, into, bias=True):
    return {f"{name}.weight": [out, into], **({f"{name}.bias": [out]} if bias else {})}


def norm(name, size):
    return {f"{name}.weight": [size], f"{name}.bias": [size]}


def bert_shapes(width=16, feed=32):
    shapes = {"embeddings.word_embeddings.weight": [len(BERT_WORDS), width], "embeddings.position_embeddings.weight": [32, width],
              "embeddings.token_type_embeddings.weight": [2, width], **norm("embeddings.LayerNorm", width)}
    layer = "encoder.layer.0."
    for part in ("query", "key", "value"):
        shapes |= linear(f"{layer}attention.self.{part}", width, width)
    return shapes | linear(layer + "attention.output.dense", width, width) | norm(layer + "attention.output.LayerNorm", width) | \
        linear(layer + "intermediate.dense", feed, width) | linear(layer + "output.dense", width, feed) | \
        norm(layer + "output.LayerNorm", width) | linear("pooler.dense", width, width)


def whisper_shapes(width=16, feed=32, mels=80):
    def attention(name):
        return linear(name + ".k_proj", width, width, False) | linear(name + ".v_proj", width, width) | \
            linear(name + ".q_proj", width, width) | linear(name + ".out_proj", width, width)

    def rest(name):
        return linear(name + "fc1", feed, width) | linear(name + "fc2", width, feed) | norm(name + "final_layer_norm", width)

    encoder, decoder = "model.encoder.", "model.decoder."
    shapes = {encoder + "conv1.weight": [width, mels, 3], encoder + "conv1.bias": [width],
              encoder + "conv2.weight": [width, width, 3], encoder + "conv2.bias": [width],
              encoder + "embed_positions.weight": [1500, width], decoder + "embed_tokens.weight": [300, width],
              decoder + "embed_positions.weight": [32, width]}
    shapes |= norm(encoder + "layer_norm", width) | norm(decoder + "layer_norm", width)
    one, two = encoder + "layers.0.", decoder + "layers.0."
    shapes |= attention(one + "self_attn") | norm(one + "self_attn_layer_norm", width) | rest(one)
    return shapes | attention(two + "self_attn") | norm(two + "self_attn_layer_norm", width) | \
        attention(two + "encoder_attn") | norm(two + "encoder_attn_layer_norm", width) | rest(two)


def filled(shapes):
    return {name: (shape, [0.01] * checkpoints.count(shape)) for name, shape in shapes.items()}


BERT_CONFIG = {
    "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "hidden_size": 16, "intermediate_size": 32,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 32, "num_attention_heads": 2, "num_hidden_layers": 1,
    "type_vocab_size": 2, "vocab_size": len(BERT_WORDS), "pad_token_id": 0, "position_embedding_type": "absolute"}

WHISPER_CONFIG = {
    "architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", "activation_function": "gelu", "d_model": 16,
    "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32, "max_source_positions": 1500, "max_target_positions": 32, "num_mel_bins": 80, "vocab_size": 300,
    "bos_token_id": 256, "eos_token_id": 256, "pad_token_id": 256, "decoder_start_token_id": 257, "scale_embedding": False}

WHISPER_SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|translate|>",
                   "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]


def bert(name="bert", config=None, **files):
    """A small BERT with WordPiece; `files` are written beside it ("modules__json")."""
    def make(base):
        target = base / name
        target.mkdir()
        settings = {**BERT_CONFIG, **(config or {})}
        checkpoints.write_safetensors(target / "model.safetensors", filled(bert_shapes()))
        (target / "config.json").write_text(json.dumps(settings))
        (target / "vocab.txt").write_text("".join(f"{word}\n" for word in BERT_WORDS))
        (target / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
        for other, content in files.items():
            path = target / other.replace("__", ".").replace("_SLASH_", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return make


def whisper(name="whisper", config=None, generation=None, front=None):
    """A small Whisper that has learned nothing. None leaves a file as it should be, False leaves it out."""
    def make(base):
        target = base / name
        target.mkdir()
        checkpoints.write_safetensors(target / "model.safetensors", filled(whisper_shapes()))
        (target / "config.json").write_text(json.dumps({**WHISPER_CONFIG, **(config or {})}))
        tokenizer = checkpoints.tokenizer_json()
        tokenizer["added_tokens"] = [{**tokenizer["added_tokens"][0], "id": 256 + i, "content": text}
                                     for i, text in enumerate(WHISPER_SPECIAL)]
        (target / "tokenizer.json").write_text(json.dumps(tokenizer))
        ids = {text: 256 + i for i, text in enumerate(WHISPER_SPECIAL)}
        settings = {"is_multilingual": True, "lang_to_id": {"<|en|>": ids["<|en|>"], "<|de|>": ids["<|de|>"]},
                    "task_to_id": {"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
                    "no_timestamps_token_id": ids["<|notimestamps|>"], "prev_sot_token_id": ids["<|startofprev|>"],
                    "eos_token_id": 256, "decoder_start_token_id": 257}
        sound = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80, "sampling_rate": 16000,
                 "hop_length": 160, "n_fft": 400, "chunk_length": 30, "n_samples": 480000, "nb_max_frames": 3000}
        if generation is not False:
            (target / "generation_config.json").write_text(json.dumps({**settings, **(generation or {})}))
        if front is not False:
            (target / "preprocessor_config.json").write_text(json.dumps({**sound, **(front or {})}))
    return make


def wav(name="speech.wav", seconds=0.1, rate=16000, channels=1, change=None):
    """A sound of silence."""
    def make(base):
        samples = int(seconds * rate)
        body = b"\0\0" * samples * channels
        content = b"RIFF" + struct.pack("<I", 36 + len(body)) + b"WAVEfmt " + struct.pack(
            "<IHHIIHH", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16) + b"data" + struct.pack("<I", len(body)) + body
        (base / name).write_bytes(change(content) if change else content)
    return make


# Plugins -------------------------------------------------------------------------------------------------------------

def plugin(change=None, name="quantizer_block", library=None):
    """A copy of one plugin in the folder plugins, its manifest changed."""
    def make(base):
        target = base / "plugins"
        target.mkdir(exist_ok=True)
        source = PROGRAMS[0].parent / "lib" / "apr" / "plugins"
        content = (source / f"libapr_{name}.so").read_bytes()
        if library:
            content = library(content)
        if content is not None:
            (target / f"libapr_{name}.so").write_bytes(content)
        manifest = json.loads((source / f"libapr_{name}.json").read_text())
        changed = change(manifest) if change else None
        if isinstance(changed, tuple):
            shutil.copyfile(changed[1], target / changed[1].name)
        text = changed if isinstance(changed, str) else json.dumps(manifest)
        (target / f"libapr_{name}.json").write_text(text)
    return make
