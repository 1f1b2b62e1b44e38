#!/usr/bin/env python3
"""Small, valid inputs for the fuzz targets, made of the bundled model's own headers.

make_seeds.py SOURCE_DIR OUT_DIR writes OUT_DIR/TARGET/*. It writes .apr files from docs/format.md, without any code of
the library.
"""
import hashlib
import json
import os
import struct
import sys
import zlib

from make_text_seeds import text_seeds

APR_CODES = {"f32": 0, "f16": 1, "q4_0": 2, "f64": 3, "i8": 6, "q8_0": 8, "bf16": 30, "apr_q4": 128}


def align(size):
    return (size + 63) // 64 * 64


def pad(data):
    return data + b"\0" * (align(len(data)) - len(data))


def tree(data):
    """RFC 6962 tree head over 1 MiB leaves."""
    leaves = [hashlib.sha256(b"\0" + data[i:i + (1 << 20)]).digest() for i in range(0, len(data), 1 << 20)]
    if not leaves:
        return hashlib.sha256().digest()

    def head(part):
        if len(part) == 1:
            return part[0]
        split = 1
        while split * 2 < len(part):
            split *= 2
        return hashlib.sha256(b"\1" + head(part[:split]) + head(part[split:])).digest()

    return head(leaves)


def apr(tensors, metadata, files=None, extension=True, footer=True, flags=0x0400):
    """tensors: [(name, type, dims, bytes)], sorted; the bytes may be the name of another tensor."""
    metadata = dict(metadata, tensor_types={t[0]: t[1] for t in tensors})
    text = json.dumps(metadata, separators=(",", ":")).encode()
    data, index, offsets = b"", b"", {}
    for name, _, _, content in tensors:
        if isinstance(content, bytes):
            offsets[name] = (len(data), len(content))
            data += pad(content)
    for name, kind, dims, content in tensors:
        offset, size = offsets[content if isinstance(content, str) else name]
        index += struct.pack("<H", len(name)) + name.encode() + bytes([APR_CODES[kind], len(dims)])
        index += b"".join(struct.pack("<Q", d) for d in dims) + struct.pack("<QQ", offset, size)
    index_offset = 64 + align(len(text))
    data_offset = index_offset + align(len(index))
    directory = data_offset + len(data)
    head = b"APR\0" + struct.pack("<BBHIQIQQ", 2, 0, flags, len(tensors), 64, len(text), index_offset, data_offset)
    reserved = b"APRX" + struct.pack("<QQ", directory, 1024) if extension else b"\0" * 20
    head += struct.pack("<I", zlib.crc32(head + reserved)) + reserved
    body = head + pad(text) + pad(index) + data
    if extension:
        sha = lambda b: hashlib.sha256(b).digest()
        files_section = b""
        if files:
            files_section = struct.pack("<I", len(files))
            for name, content in sorted(files.items()):
                files_section += struct.pack("<IQ", len(name), len(content)) + name.encode() + content
        lineage = b'{"lineage":[{"stage":"import","tool":"t","plugin":"","parameters":{},"inputs":[]}]}'
        fixed = [sha(head), sha(text), sha(index), sha(files_section), sha(b""), sha(lineage)]
        trees = []
        for name, _, _, content in tensors:
            offset, size = offsets[content if isinstance(content, str) else name]
            trees.append(tree(data[offset:offset + size]))
        listing = b"apr content root 1\n"
        for name, digest in zip(("header", "metadata", "index", "files", "tokenizer", "lineage"), fixed):
            listing += name.encode() + b" " + digest.hex().encode() + b"\n"
        listing += b"tensors %d\n" % len(trees) + b"".join(t.hex().encode() + b"\n" for t in trees)
        digests = struct.pack("<II", 1 << 20, len(trees)) + b"".join(fixed + trees) + sha(listing)
        slots, tail, at = b"", b"", directory + 1024
        for kind, content in ((1, files_section), (4, lineage), (3, digests)):
            if content:
                slots += struct.pack("<IIQQ", kind, 1, at, len(content)) + sha(content) + b"\0" * 8
                tail += pad(content)
                at += align(len(content))
        body += slots + b"\0" * (1024 - len(slots)) + tail
    return body + (struct.pack("<I", zlib.crc32(body)) if footer else b"")


def safetensors(header, size):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(i * 7 & 255 for i in range(size))


def tokenizer_files():
    """Small tokenizers of every kind that the library reads, with all their options somewhere."""
    def typed(name, **members):
        return dict({"type": name}, **members)

    def added(token, at, **members):
        return dict({"id": at, "content": token, "special": True, "normalized": False}, **members)

    def file(model, normalizer, pre_tokenizer, post_processor, decoder, tokens=()):
        return json.dumps({"added_tokens": list(tokens), "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
                           "post_processor": post_processor, "decoder": decoder, "model": model},
                          ensure_ascii=False).encode()

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    lines = names + list("abcdenstu12!,'") + ["##" + c for c in "abcdenstu"] + ["un", "##aff", "cat", "the", "\u732b", "\u00e9"]
    pieces = {token: i for i, token in enumerate(lines)}
    word_piece = typed("WordPiece", unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100,
                       vocab=pieces)
    bert = typed("BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    decoder = typed("WordPiece", prefix="##", cleanup=True)
    special = [added(name, i) for i, name in enumerate(names)]

    def piece(kind, name, type_id):
        return {kind: {"id": name, "type_id": type_id}}

    templates = typed("TemplateProcessing",
                      single=[piece("SpecialToken", "[CLS]", 0), piece("Sequence", "A", 0), piece("SpecialToken", "[SEP]", 0)],
                      pair=[piece("SpecialToken", "[CLS]", 0), piece("Sequence", "A", 0), piece("SpecialToken", "[SEP]", 0),
                            piece("Sequence", "B", 1), piece("SpecialToken", "[SEP]", 1)],
                      special_tokens={name: {"id": name, "ids": [i], "tokens": [name]} for i, name in ((2, "[CLS]"), (3, "[SEP]"))})
    yield "bert", file(word_piece, bert, typed("BertPreTokenizer"), templates, decoder, special)
    yield "bert-cased", file(dict(word_piece, max_input_chars_per_word=3), dict(bert, lowercase=False, strip_accents=True),
                             typed("Sequence", pretokenizers=[typed("WhitespaceSplit"), typed("Punctuation", behavior="MergedWithNext")]),
                             typed("BertProcessing", sep=["[SEP]", 3], cls=["[CLS]", 2]), dict(decoder, cleanup=False))
    yield "steps", file(dict(word_piece, continuing_subword_prefix=""),
                        typed("Sequence", normalizers=[typed("NFKD"), typed("StripAccents"), typed("Lowercase"), typed("NFKC"),
                                                       typed("Strip", strip_left=True, strip_right=True)]),
                        typed("Whitespace"), typed("RobertaProcessing", sep=["[SEP]", 3], cls=["[CLS]", 2]), decoder,
                        [added("the cat", 50, special=False, normalized=True, lstrip=True, single_word=True)])
    letters = {c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz")}
    byte_level = typed("ByteLevel", add_prefix_space=False)
    yield "bpe", file(typed("BPE", vocab=dict(letters, ab=26, abc=27), merges=["a b", "ab c"]), typed("NFC"), byte_level,
                      byte_level, byte_level, [added("<s>", 28)])
    yield "sentencepiece", file(
        typed("BPE", vocab=dict(letters, **{"<unk>": 26, "\u2581": 27, "<0x41>": 28, "\u2581a": 29}), merges=["\u2581 a"],
              unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        typed("Sequence", normalizers=[typed("Prepend", prepend="\u2581"),
                                       typed("Replace", pattern={"String": " "}, content="\u2581")]), None, None,
        typed("Sequence", decoders=[typed("Replace", pattern={"String": "\u2581"}, content=" "), typed("ByteFallback"),
                                    typed("Fuse"), typed("Strip", content=" ", start=1, stop=0)]))
    config = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True, "cls_token": "[CLS]",
              "mask_token": {"content": "[MASK]"}, "added_tokens_decoder": {"90": {"content": "<x>", "special": True}}}
    yield "vocab-txt", json.dumps(config).encode() + b"\0" + "\n".join(lines).encode()
    yield "table", tokenizer_table(lines, {
        "normalizer": bert, "pre_tokenizer": typed("BertPreTokenizer"), "decoder": decoder, "prefix": [2], "suffix": [3],
        "pair": [[2, 0], ["A", 0], [3, 0], ["B", 1], [3, 1]], "unk": 1, "model": "WordPiece",
        "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "clean_up": False})


def tokenizer_table(tokens, settings):
    """A tokenizer table whose hash tables are full from end to end: with as many probes as slots, any order serves."""
    slots = 64
    text = "".join(tokens).encode()
    offsets, at = [0], 0
    for token in tokens:
        at += len(token.encode())
        offsets.append(at)
    flags = bytes(15 if token.startswith("[") else 3 for token in tokens)
    sections = [json.dumps(settings).encode(), struct.pack("<%dI" % len(offsets), *offsets), text, flags,
                struct.pack("<%dI" % slots, *([i + 1 for i in range(len(tokens))] + [1] * (slots - len(tokens)))),
                struct.pack("<4I", 0xFFFFFFFF, 0, 0, 0)]
    places, body = b"", b""
    for section in sections:
        body += b"\0" * (-len(body) % 8)
        places += struct.pack("<QQ", 136 + len(body), len(section))
        body += section
    return b"APRTOK01" + struct.pack("<8I", len(tokens), slots, 0, slots, 0, 1, 0, 0) + places + body


def main():
    source, out = sys.argv[1], sys.argv[2]
    model = os.path.join(source, "golden", "apr-tiny-chat")

    def save(target, name, content):
        folder = os.path.join(out, target)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)

    def read(name):
        with open(os.path.join(model, name), "rb") as file:
            return file.read()

    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        save("json", name, read(name))
    save("json", "tokenizer-start", read("tokenizer.json")[:2000] + b'"]}')
    for i, text in enumerate(('{"a":1,"a":2}', "[[[[1]]]]", '"\\ud83d\\ude00\\u0000"', "-0.0e-5", "18446744073709551616",
                              "[1e400]", '{"":[null,true,false]}', "\ufeff{}", "[9007199254740993, 0.1]")):
        save("json", "case-%d" % i, text.encode())

    # The real header of the bundled model, its tensors scaled down to a row of eight.
    real = read("model.safetensors")
    header = json.loads(real[8:8 + struct.unpack("<Q", real[:8])[0]])
    width = {"BF16": 2, "F32": 4, "F16": 2}
    small, at = {}, 0
    for name in sorted(k for k in header if k != "__metadata__")[:12]:
        dtype, dims = header[name]["dtype"], header[name]["shape"]
        shape = [2] * (len(dims) - 1) + [8]
        size = width[dtype] * 8 * 2 ** (len(dims) - 1)
        small[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    save("safetensors_reader", "real", safetensors(dict(small, __metadata__={"format": "pt"}), at))
    save("safetensors_reader", "empty", safetensors({}, 0))
    save("safetensors_reader", "scalar", safetensors({"s": {"dtype": "F64", "shape": [], "data_offsets": [0, 8]},
                                                      "z": {"dtype": "I8", "shape": [0, 3], "data_offsets": [8, 8]}}, 8))
    save("safetensors_reader", "duplicate", safetensors(
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1))
    save("safetensors_reader", "hole", safetensors({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, 2))

    config = read("config.json")
    metadata = {"model_type": "qwen2", "name": "seed", "license": None, "total_size": 0, "param_count": 8}
    weights = bytes(range(256))
    tensors = [("lm_head.weight", "bf16", [4, 8], "model.embed_tokens.weight"),
               ("model.embed_tokens.weight", "bf16", [4, 8], weights[:64]),
               ("model.layers.0.mlp.down_proj.weight", "q4_0", [2, 32], weights[:36]),
               ("model.layers.0.mlp.up_proj.weight", "q8_0", [2, 32], weights[:68]),
               ("model.norm.weight", "f32", [8], weights[:32])]
    save("apr_reader", "full", apr(tensors, metadata, {"config.json": config, "tokenizer.json": b"{}"}))
    save("apr_reader", "no-files", apr(tensors[4:], metadata))
    save("apr_reader", "upstream", apr(tensors, metadata, extension=False))
    save("apr_reader", "no-footer", apr(tensors[1:], metadata, extension=False, footer=False))
    save("apr_reader", "nothing", apr([], {"model_type": "x"}, extension=False))
    save("apr_reader", "scalar", apr([("s", "f64", [], weights[:8]), ("z", "apr_q4", [0], b"")], metadata))
    save("apr_reader", "files-section", struct.pack("<I", 1) + struct.pack("<IQ", 1, 2) + b"abc")
    save("apr_reader", "classical", b"APRN" + struct.pack("<BBHIIIBBB", 1, 0, 2, 1, 0, 0, 0, 0, 0) + b"\0" * 10 +
         b"\0" * 4)
    oracle = os.path.join(source, "tests", "unit", "template", "oracle")
    with open(os.path.join(oracle, "snippets.json"), encoding="utf-8") as file:
        for i, row in enumerate(json.load(file)["rows"]):
            save("template", "snippet-%d" % i, row["template"].encode())
    for name in sorted(os.listdir(os.path.join(oracle, "templates"))):
        with open(os.path.join(oracle, "templates", name), "rb") as file:
            save("template", name, file.read())

    for name, content in tokenizer_files():
        save("tokenizer", name, content)
    for target, name, content in text_seeds(source):
        save(target, name, content)

    with open(os.path.join(out, "made"), "w", encoding="ascii") as file:
        file.write("")


main()
