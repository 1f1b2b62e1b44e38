import functools
import json

import checkpoints
from case import case
from fixtures import at, checkpoint, file

TITLE = "Tokenizers"


def tokenizer(wrong, path, value, code=4):
    return case(wrong, "apr import model -o model.apr", code, checkpoint(tokenizer=at(path, value)))


def changed(wrong, change, code=4):
    return case(wrong, "apr import model -o model.apr", code, checkpoint(tokenizer=change))


def without(key):
    def change(document):
        del document[key]
    return change


def token(**values):
    return {"id": 256, "content": "<|end|>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True, **values}


def files(wrong, code, vocab, merges="#version: 0.2\n", **config):
    """A folder with vocab.json and merges.txt instead of tokenizer.json."""
    return case(wrong, "apr import model -o model.apr", code, checkpoint(tokenizer=False), file("model/vocab.json", vocab),
                file("model/merges.txt", merges),
                file("model/tokenizer_config.json", json.dumps({"tokenizer_class": "Qwen2Tokenizer", **config})))


def words(wrong, code, vocab, **config):
    """A folder with BERT's vocab.txt."""
    return case(wrong, "apr import model -o model.apr", code, checkpoint(tokenizer=False), file("model/vocab.txt", vocab),
                file("model/tokenizer_config.json", json.dumps({"tokenizer_class": "BertTokenizer", **config})))


BYTES = json.dumps(checkpoints.tokenizer_json()["model"]["vocab"])
WORDS = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##s\n"
PIECE = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
         "vocab": {"[UNK]": 0, "a": 1}}


def piece(wrong, code=4, **values):
    def change(document):
        model = dict(PIECE)
        model.update(values)
        document["model"] = {key: value for key, value in model.items() if value is not None}
        document["added_tokens"] = []
        document["pre_tokenizer"] = {"type": "BertPreTokenizer"}
        document["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    return changed(wrong, change, code)


def processor(wrong, value, code=4):
    return tokenizer(wrong, "post_processor", value, code)


def template(**values):
    return {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {},
            **values}


CASES = [
    changed("has a tokenizer.json that is a list", lambda document: [1]),
    changed("has a tokenizer.json without a model", without("model")),
    tokenizer("has a tokenizer of an unknown kind", "model.type", "Unigram", 9),
    tokenizer("has a tokenizer that drops merges by chance", "model.dropout", 0.1, 9),
    tokenizer("has a tokenizer that marks the ends of words", "model.end_of_word_suffix", "</w>", 9),
    tokenizer("has a vocabulary that is a list", "model.vocab", ["a", "b"]),
    tokenizer("has an id that is a text", "model.vocab", {"a": "one"}),
    tokenizer("has an id that is negative", "model.vocab", {"a": -1}),
    tokenizer("has an id twice", "model.vocab", {"a": 0, "b": 0}),
    tokenizer("has a token that is far too long", "model.vocab", {"a" * 100000: 0}),
    tokenizer("has merges that are no list", "model.merges", "a b"),
    tokenizer("has a merge of one word", "model.merges", ["ab"]),
    tokenizer("has a merge that is a number", "model.merges", [7]),
    tokenizer("has a merge of tokens that are not there", "model.merges", ["x yy"]),
    tokenizer("has a merge that makes a token that is not there", "model.merges", [["x", "y"]]),
    tokenizer("has an added token without a text", "added_tokens", [{"id": 256}]),
    tokenizer("has an added token without an id", "added_tokens", [{"content": "<|end|>"}]),
    tokenizer("has an added token of a length beyond all use", "added_tokens", [token(content="x" * 100000)], 9),
    tokenizer("gives an added token another id than the vocabulary", "added_tokens", [token(content="a", id=256)]),
    tokenizer("has a normalizer of an unknown kind", "normalizer", {"type": "Nmt"}, 9),
    tokenizer("has a normalizer without a kind", "normalizer", {}),
    tokenizer("has a normalizer that is a text", "normalizer", "NFC"),
    tokenizer("has a normalizer that replaces without saying what", "normalizer", {"type": "Replace", "content": ""}, 9),
    tokenizer("has a normalizer that replaces nothing", "normalizer", {"type": "Replace", "pattern": {"String": ""}, "content": "x"}),
    tokenizer("has a normalizer with a regular expression", "normalizer",
              {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "x"}, 9),
    tokenizer("has a normalizer that prepends no text", "normalizer", {"type": "Prepend", "prepend": 7}),
    tokenizer("has normalizers nested without end", "normalizer", functools.reduce(
        lambda inner, _: {"type": "Sequence", "normalizers": [inner]}, range(30), {"type": "NFC"}), 9),
    tokenizer("has a sequence of normalizers without a list", "normalizer", {"type": "Sequence"}),
    tokenizer("leaves a switch out", "normalizer", {"type": "BertNormalizer"}),
    tokenizer("strips accents by a text", "normalizer", {
        "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": True, "strip_accents": "yes"}),
    tokenizer("has a pre-tokenizer of an unknown kind", "pre_tokenizer", {"type": "UnicodeScripts"}, 9),
    tokenizer("splits by an expression that is not known", "pre_tokenizer",
              {"type": "Split", "pattern": {"Regex": "(?<x>b)+"}, "behavior": "Isolated", "invert": False}, 9),
    tokenizer("splits in a way that is not known", "pre_tokenizer",
              {"type": "Split", "pattern": {"String": " "}, "behavior": "Sideways", "invert": False}, 9),
    tokenizer("splits by what does not match", "pre_tokenizer",
              {"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated", "invert": True}, 9),
    tokenizer("splits after bytes were made of the text", "pre_tokenizer", {"type": "Sequence", "pretokenizers": [
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}, {"type": "Digits", "individual_digits": True}]}, 9),
    tokenizer("replaces blanks by two characters", "pre_tokenizer", {"type": "Metaspace", "replacement": "__"}),
    tokenizer("prepends in a way that is not known", "pre_tokenizer",
              {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "twice"}, 9),
    tokenizer("splits by a switch that is a text", "pre_tokenizer", {"type": "Metaspace", "replacement": "\u2581", "split": "no"}),
    tokenizer("has no decoder", "decoder", None, 9),
    tokenizer("has a decoder of an unknown kind", "decoder", {"type": "CTC"}, 9),
    tokenizer("has a decoder that strips nonsense", "decoder", {"type": "Sequence", "decoders": [
        {"type": "ByteFallback"}, {"type": "Strip", "content": " ", "start": -1, "stop": 0}]}),
    processor("has a post-processor of an unknown kind", {"type": "Magic"}, 9),
    processor("has a post-processor without a template", template(single=7)),
    processor("has a template that leaves the text out", template(single=[])),
    processor("has a template with a token that it does not explain", template(
        single=[{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}])),
    processor("has a template with a token that the vocabulary lacks", template(
        single=[{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        special_tokens={"[CLS]": {"id": "[CLS]", "ids": [9999], "tokens": ["[CLS]"]}})),
    processor("has a template with an unknown piece", template(single=[{"Text": "x"}])),
    processor("has a template with a negative type", template(single=[{"Sequence": {"id": "A", "type_id": -1}}])),
    piece("has a WordPiece tokenizer whose prefix is a number", continuing_subword_prefix=7),
    piece("has a WordPiece tokenizer whose prefix is far too long", 9, continuing_subword_prefix="#" * 1000),
    piece("has a WordPiece tokenizer whose limit is a text", max_input_chars_per_word="many"),
    piece("has a WordPiece tokenizer without a token for the unknown", unk_token="[NONE]"),
    files("has merges.txt, but a vocab.json that is a list", 4, "[]"),
    files("has a merges.txt with three words in a line", 4, BYTES, "#version: 0.2\na b c\n"),
    files("has a merges.txt with tokens that are not there", 4, BYTES, "#version: 0.2\nx yy\n"),
    files("has a tokenizer class that is not known", 9, BYTES, tokenizer_class="MagicTokenizer"),
    files("has an added token under a name that is no id", 4, BYTES, added_tokens_decoder={"end": {"content": "<|end|>"}}),
    files("has an added token without content", 4, BYTES, added_tokens_decoder={"256": {}}),
    words("has a vocab.txt with nothing in it", 4, ""),
    case("has a vocab.txt that is not UTF-8", "apr import model -o model.apr", 4, checkpoint(tokenizer=False),
         file("model/vocab.txt", b"[UNK]\n\xff\xfe\n"), file("model/tokenizer_config.json", '{"tokenizer_class": "BertTokenizer"}')),
    words("has a vocab.txt without a token for the unknown", 4, "the\n##s\n"),
    words("has a vocab.txt of another class", 9, WORDS, tokenizer_class="RobertaTokenizer"),
    words("switches the basic tokenizer off", 9, WORDS, do_basic_tokenize=False),
    words("has words that are never split", 9, WORDS, never_split=["apr"]),
    words("has a flag that is a number", 4, WORDS, do_lower_case=7),
    case("has a tokenizer_config.json that is no JSON", "apr import model -o model.apr", 4,
         checkpoint(tokenizer_config__json="{'chat_template': ''}")),
    tokenizer("splits by an expression in another way than known", "pre_tokenizer", {"type": "Split", "pattern": {
        "Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
        "behavior": "Removed", "invert": False}, 9),
    tokenizer("prepends a whole page", "normalizer", {"type": "Prepend", "prepend": "x" * 5000}, 9),
    processor("has two templates in a row", {"type": "Sequence", "processors": [template(), template()]}, 9),
    processor("has a template that gives the text twice", template(
        single=[{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]), 9),
    processor("has a template for pairs that leaves the second out", template(pair=[{"Sequence": {"id": "A", "type_id": 0}}])),
    processor("has a BERT processor without its tokens", {"type": "BertProcessing", "sep": ["[SEP]", 9999], "cls": ["[CLS]", 9998]}),
    words("has an added token under a name that is no id", 4, WORDS, added_tokens_decoder={"end": {"content": "x"}}),
    words("has an added token without content", 4, WORDS, added_tokens_decoder={"7": {}}),
    case("has a tokenizer with more ids than the model", "apr run model Hello --raw", 6, checkpoint(
        config=lambda c: c.update(vocab_size=200), tensors=lambda all: all.__setitem__(
            "model.embed_tokens.weight", ([200, 64], all["model.embed_tokens.weight"][1][:200 * 64])))),
    case("tokenized bytes for which there is no token", "apr tokenize model 'Hello!'", 8, checkpoint(
        tokenizer=lambda document: document["model"]["vocab"].pop("!") and None)),
]
