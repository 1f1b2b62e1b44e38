import json

import checkpoints
from case import case
from fixtures import at, checkpoint, data, file, folder, lines, model, put, setup, small, tiny

TITLE = "Answers: run, chat, sampling"


def run(wrong, options, code=2, *more):
    return case(wrong, f"apr run tiny.apr {options}", code, tiny, *more)


def chat(wrong, typed, code=2, *more, options=""):
    text = "\\n".join(typed.split("\n"))
    return case(wrong, f"printf '{text}\\n' | apr chat tiny.apr --max-tokens 4{options}", code, tiny, *more)


def synthetic(base):
    (base / "synthetic").mkdir()
    checkpoints.write_safetensors(base / "synthetic" / "model.safetensors", checkpoints.weights(), {"synthetic": "true"})
    (base / "synthetic" / "config.json").write_text(json.dumps(checkpoints.CONFIG))
    (base / "synthetic" / "tokenizer.json").write_text(json.dumps(checkpoints.tokenizer_json()))


CASES = [
    run("gave an empty prompt", "''"),
    case("gave no prompt at all", "apr run tiny.apr < /dev/null", 2, tiny),
    run("gave a prompt that is longer than the context", '"$(printf \'word %.0s\' {1..2000})"'),
    run("asked for more context than the model has", "Hello --context 5000"),
    run("asked for a longer answer than the context holds", "Hello --max-tokens 1000000"),
    run("gave an empty text to stop at", "Hello --stop ''"),
    run("gave a system message to a raw prompt", "Hello --raw --system 'Be brief.'"),
    run("asked to read special tokens in a chat message", "Hello --parse-special"),
    run("asked for the best of tokens without a temperature", "Hello --top-k 40"),
    run("narrowed the nucleus without a temperature", "Hello --top-p 0.9"),
    run("asked for mirostat without a temperature", "Hello --mirostat 5"),
    run("asked for mirostat and a nucleus", "Hello --temperature 1 --mirostat 5 --top-p 0.9"),
    run("gave a breaker without what it breaks", "Hello --dry-breaker ."),
    run("gave an empty breaker", "Hello --dry-multiplier 1 --dry-breaker ''"),
    run("wrote a logit bias without a value", "Hello --logit-bias 42"),
    run("gave a logit bias for a token that there is not", "Hello --logit-bias 99999=1"),
    run("gave a logit bias beyond its bounds", "Hello --logit-bias 42=1000"),
    run("gave one token two biases", "Hello --logit-bias 42=1,42=2"),
    run("gave a negative temperature", "Hello --temperature=-1"),
    run("gave a repetition penalty of nothing", "Hello --repetition-penalty 0"),
    run("gave a penalty beyond its bounds", "Hello --presence-penalty 3"),
    run("named a backend that there is not", "Hello --backend gpu", 3),
    run("gave a date that is none", "Hello --date yesterday"),
    run("asked for a message from a file that is not there", '"$(cat question.txt)"'),
    case("sent a prompt of a hundred megabytes", "head -c 100000000 /dev/zero | tr '\\0' x | apr run tiny.apr", 2, tiny),
    case("runs a model without a tokenizer", "apr run model.apr Hello", 6, checkpoint(tokenizer=False),
         setup("import", "model", "-o", "model.apr", "--allow-no-tokenizer")),
    case("runs weights that were made up", "apr run synthetic Hello --raw", 6, synthetic),
    case("runs a model with a NaN in its weights", "apr run model Hello --raw --max-tokens 2", 8,
         checkpoint(tensors=lambda all: all["model.norm.weight"][1].__setitem__(0, float("nan")))),
    case("runs a model that lacks a tensor", "apr run model Hello --raw", 6,
         checkpoint(tensors=lambda all: all.pop("model.norm.weight"))),
    case("runs a model whose tensor has another shape", "apr run model Hello --raw", 6,
         checkpoint(tensors=lambda all: all.__setitem__("model.norm.weight", ([32], [1.0] * 32)))),
    case("chats with a model that has no template", "echo Hello | apr chat small.apr", 6, small),
    case("chats with a file that is not there", "echo Hello | apr chat model.apr", 3),
    case("chats with more context than the model has", "echo Hello | apr chat tiny.apr --context 5000", 2, tiny),
    chat("types a command that there is not", "/hlep"),
    chat("types a command that is like no other", "/frobnicate"),
    chat("sets what there is not", "/set temprature 1"),
    chat("sets something to what it cannot be", "/set temperature hot"),
    chat("sets something without a value", "/set temperature"),
    chat("tries again before there is an answer", "/retry"),
    chat("saves without a name", "/save"),
    chat("saves over a file", "Hello\n/save notes.txt", 5, file("notes.txt", "mine")),
    chat("saves into a folder that is not there", "Hello\n/save there/chat.json", 3),
    chat("loads without a name", "/load"),
    chat("loads what is not there", "/load chat.json", 3),
    chat("loads what is no chat", "/load chat.json", 4, file("chat.json", "Hello")),
    chat("loads a chat of other roles", "/load chat.json", 4, data("chat.json", [{"role": "wizard", "content": "Hello"}])),
    chat("loads a chat with a number in it", "/load chat.json", 4, data("chat.json", [{"role": "user", "content": 7}])),
    chat("asks for attention without --inspect", "/attn 0 0"),
    chat("asks for attention before an answer", "/attn 0 0", options=" --inspect"),
    chat("asks for a layer that there is not", "Hello\n/attn 99 0", options=" --inspect --quiet > /dev/null"),
    case("sends a message of megabytes to a chat", "head -c 20000000 /dev/zero | tr '\\0' x | apr chat tiny.apr", 2, tiny),
    case("sends more than the context holds to a chat", "printf 'word %.0s' {1..2000} | apr chat tiny.apr", 2, tiny),
    case("bench: asked for more than the context", "apr bench tiny.apr --prefill 5000", 2, tiny),
    case("bench: asked for a prompt and an answer beyond the context", "apr bench tiny.apr --prefill 1000 --decode 100", 2, tiny),
    case("bench: gave a batch to a model that writes", "apr bench tiny.apr --batch 4", 2, tiny),
    case("apr-runtime: asked for more context than the model has", "apr-runtime tiny.apr Hello --context 5000", 2, tiny),
    case("apr-runtime: gave a prompt longer than the context", "apr-runtime tiny.apr Hello --context 4", 2, tiny),
    case("apr-runtime: gave an empty raw prompt", "apr-runtime tiny.apr '' --raw", 2, tiny),
    case("apr-runtime: gave a nucleus beyond one", "apr-runtime tiny.apr Hello --top-p 2 --temperature 1", 2, tiny),
    case("apr-runtime: named a backend that there is not", "apr-runtime tiny.apr Hello --backend gpu", 3, tiny),
    case("apr-runtime: has a model without a template", "apr-runtime small.apr Hello", 6, small),
    case("tokenized two texts from one pipe", "echo Hello | apr tokenize tiny.apr - --pair -", 2, tiny),
    case("tokenized with a model without a tokenizer", "apr tokenize model Hello", 6, checkpoint(tokenizer=False)),
    case("tokenized without a text", "apr tokenize tiny.apr", 2, tiny),
    run("asked for a token and forbade all", "Hello --raw --temperature 1 --logit-bias $(printf '%s=-inf,' {0..2046})2047=-inf", 8),
    chat("gives /clear a word", "/clear all"),
    chat("gives /attn a word too many", "Hello\n/attn 0 0 0", options=" --inspect --quiet > /dev/null"),
    case("chats with a template that makes nothing", "echo Hello | apr chat model", 6, checkpoint(
        tokenizer_config__json={"chat_template": "{# nothing #}"})),
    case("has a system message that the template refuses", "apr run model Hello --system 'Be brief.'", 5, checkpoint(
        tokenizer_config__json={"chat_template": "{% if messages[0].role == 'system' %}{{ raise_exception('System role not "
                                                 "supported') }}{% endif %}{{ messages[0].content }}"})),
]
