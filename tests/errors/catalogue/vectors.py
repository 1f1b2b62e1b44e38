import json

from case import case
from fixtures import bert, file, folder, lines, tiny

TITLE = "Embeddings"
POOL = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 16}
MODULES = [{"type": "sentence_transformers.models.Transformer", "path": ""},
           {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]


def e(wrong, options, code=2, *more):
    return case(wrong, f"apr embeddings bert {options}", code, bert(), *more)


def recipe(wrong, code, modules=MODULES, pooling=POOL, **files):
    content = {"modules__json": modules, **files}
    if pooling is not None:
        content["1_Pooling_SLASH_config__json"] = pooling
    return case(wrong, "apr embeddings bert hello", code, bert(**content))


CASES = [
    case("asked an encoder for an answer", "apr run bert hello", 9, bert()),
    case("chats with an encoder", "echo hello | apr chat bert", 9, bert()),
    case("measured the perplexity of an encoder", "apr eval bert --dataset text.txt", 9, bert(), file("text.txt", "hello there")),
    case("measured how fast an encoder writes", "apr bench bert --decode 8", 2, bert()),
    case("measured longer texts than the model takes", "apr bench bert --prefill 64", 2, bert()),
    case("traced greedy tokens of an encoder", "apr trace bert --prompt hello --greedy 3", 2, bert()),
    case("gave too few token types", "apr trace bert --ids 2,5,3 --token-types 0,0", 2, bert()),
    e("gave texts and a file", "hello --input texts.txt"),
    e("gave a dash among texts", "hello -"),
    e("gave a file that is not there", "--input texts.txt", 3),
    e("gave a folder of texts", "--input texts", 3, folder("texts")),
    e("gave a file of lines that are no JSON", "--input texts.jsonl", 4, lines("texts.jsonl", "hello")),
    e("gave a line without a text", "--input texts.jsonl", 4, lines("texts.jsonl", {"txt": "hello"})),
    e("gave a line whose pair is a number", "--input texts.jsonl", 4, lines("texts.jsonl", {"text": "hello", "text_pair": 7})),
    e("gave two ways of prompting", "hello --prompt 'query: ' --prompt-name query"),
    e("named a prompt that there is not", "hello --prompt-name query"),
    e("asked for both lengths", "hello --normalize --no-normalize"),
    e("asked for a pooling that there is not", "hello --pooling middle"),
    e("asked for a pooler and something else", "hello --pooling pooler --pooling mean"),
    e("asked for longer texts than the model takes", "hello --max-length 5000"),
    e("gave a prompt that leaves no room", "hello --prompt \"$(printf 'there %.0s' {1..40})\""),
    e("compared too many texts", "--input texts.txt --similarity", 2, file("texts.txt", "hello\n" * 5000)),
    e("wrote vectors over a file", "hello --npy out.npy", 5, file("out.npy", "mine")),
    recipe("has a modules.json that is an object", 4, {}),
    recipe("has a modules.json that is no JSON", 4, "["),
    recipe("has a module without a kind", 4, [{"path": ""}]),
    recipe("has a module of an unknown kind", 9, [*MODULES, {"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]),
    recipe("has modules without a pooling", 9, MODULES[:1]),
    recipe("lost the pooling's file", 6, pooling=None),
    recipe("has a pooling of an unknown kind", 9, pooling={"pooling_mode_sideways": True}),
    recipe("has a pooling without a kind", 4, pooling={"word_embedding_dimension": 16}),
    recipe("has a pooling whose flag is a text", 4, pooling={"pooling_mode_mean_tokens": "yes"}),
    recipe("has a pooling of another width", 4, pooling={**POOL, "word_embedding_dimension": 768}),
    recipe("has a length that is a text", 4, sentence_bert_config__json={"max_seq_length": "long"}),
    recipe("has prompts that are a list", 4, config_sentence_transformers__json={"prompts": []}),
    recipe("has a prompt that is a number", 4, config_sentence_transformers__json={"prompts": {"query": 7}}),
    recipe("has a default prompt that there is not", 4,
           config_sentence_transformers__json={"prompts": {"query": "query: "}, "default_prompt_name": "passage"}),
    recipe("names a pooling that there is not", 9, pooling={"pooling_mode": "sideways", "word_embedding_dimension": 16}),
    case("asked for the pooler of a model that has none", "apr embeddings tiny.apr hello --pooling pooler", 9, tiny),
    case("gave a model that writes an empty text", "apr embeddings tiny.apr ''", 5, tiny),
]
