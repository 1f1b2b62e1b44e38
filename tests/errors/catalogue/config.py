from case import case
from fixtures import checkpoint, put, whisper

TITLE = "config.json"
IMPORT = "apr import model -o model.apr"


def config(wrong, code, **values):
    return case(wrong, IMPORT, code, checkpoint(config=put(**values)))


def llama(**values):
    return put(model_type="llama", architectures=["LlamaForCausalLM"], **values)


CASES = [
    case("has a config.json that is no JSON", IMPORT, 4, checkpoint(config__json='{"model_type": "qwen2",\n  oops}')),
    case("has a config.json that ends too early", IMPORT, 4, checkpoint(config__json='{"model_type": "qwen2"')),
    case("has an empty config.json", IMPORT, 4, checkpoint(config__json="")),
    case("has a config.json of blanks", IMPORT, 4, checkpoint(config__json=" \n ")),
    case("has a field twice in config.json", IMPORT, 4,
         checkpoint(config__json='{"model_type": "qwen2", "hidden_size": 64,\n "hidden_size": 32}')),
    case("has a config.json that is not UTF-8", IMPORT, 4, checkpoint(), lambda base:
         (base / "model/config.json").write_bytes(b'{"model_type": "qw\xff"}')),
    case("has a config.json with a NUL byte", IMPORT, 4, checkpoint(config__json='{"model_type": "qwen2"\0}')),
    case("has a config.json with thousands of brackets", IMPORT, 4, checkpoint(config__json="[" * 5000)),
    case("has a config.json with a number beyond all numbers", IMPORT, 4, checkpoint(config__json='{"rope_theta": 1e999}')),
    case("has a model of an unknown kind", IMPORT, 9, checkpoint(config=put(model_type="mamba", architectures=["MambaForCausalLM"]))),
    case("does not say what kind of model it is", IMPORT, 9, checkpoint(config=put(model_type=None, architectures=None))),
    case("has another head on a known model", IMPORT, 9,
         checkpoint(config=put(architectures=["Qwen2ForSequenceClassification"]))),
    config("leaves out a number", 4, num_hidden_layers=None),
    config("has a text where a number is due", 4, hidden_size="large"),
    config("has a fraction where a whole number is due", 4, hidden_size=64.5),
    config("has zero layers", 4, num_hidden_layers=0),
    config("has more layers than any model", 4, num_hidden_layers=10**12),
    config("has a text where true or false is due", 4, tie_word_embeddings="yes"),
    config("has a number where a text is due", 4, hidden_act=7),
    config("uses an activation that is not supported", 9, hidden_act="relu6"),
    config("uses a way of position scaling that is not supported", 9, rope_scaling={"type": "dynamic", "factor": 4.0}),
    config("has heads that do not divide the features", 4, num_attention_heads=5),
    config("has key heads that do not divide the heads", 4, num_key_value_heads=3),
    config("has heads of too many features", 9, hidden_size=8192, num_attention_heads=1, num_key_value_heads=1),
    config("has an odd number of features per head", 4, hidden_size=60, num_attention_heads=4),
    config("has a model cut for several machines", 9, pretraining_tp=4),
    config("has a negative epsilon", 4, rms_norm_eps=-1.0),
    config("has a rotation without a base", 4, rope_theta=0),
    config("has a vocabulary beyond all bounds", 4, vocab_size=10**10),
    case("has a llama with a sliding window", IMPORT, 9, checkpoint(config=llama(sliding_window=64, use_sliding_window=None))),
    case("has a llama with position scaling that lacks a factor", IMPORT, 4,
         checkpoint(config=llama(rope_scaling={"rope_type": "llama3"}, use_sliding_window=None))),
    case("has a llama with position scaling of an unknown kind", IMPORT, 9,
         checkpoint(config=llama(rope_scaling={"rope_type": "magic"}, use_sliding_window=None))),
    case("has position scaling that is no object", IMPORT, 4, checkpoint(config=llama(rope_scaling=8, use_sliding_window=None))),
    case("has a GPT-2 without its fields", IMPORT, 4, checkpoint(config=put(model_type="gpt2", architectures=["GPT2LMHeadModel"]))),
    case("has a BERT of another kind", IMPORT, 9,
         checkpoint(config=put(model_type="bert", architectures=["BertForTokenClassification"]))),
    case("has a BERT with relative positions", IMPORT, 9, checkpoint(config=put(
        model_type="bert", architectures=["BertModel"], hidden_act="gelu", layer_norm_eps=1e-12, type_vocab_size=2,
        position_embedding_type="relative_key"))),
    case("has a BERT that is a decoder", IMPORT, 9, checkpoint(config=put(
        model_type="bert", architectures=["BertModel"], hidden_act="gelu", layer_norm_eps=1e-12, type_vocab_size=2,
        is_decoder=True))),
    case("has a Whisper without its fields", IMPORT, 4,
         checkpoint(config=put(model_type="whisper", architectures=["WhisperForConditionalGeneration"]))),
    case("has a generation_config.json that is no JSON", "apr run model Hello --raw", 4, checkpoint(generation_config__json="{")),
    config("has a checkpoint that is quantized already", 9, quantization_config={"quant_method": "gptq", "bits": 4}),
    config("lists layer types without windows", 4, layer_types=["full_attention", "sliding_attention"]),
    config("lists one layer type for two layers", 4, layer_types=["sliding_attention"], use_sliding_window=True, sliding_window=64),
    case("has a llama whose frequencies cross", IMPORT, 4, checkpoint(config=llama(use_sliding_window=None, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0,
        "original_max_position_embeddings": 64}))),
    config("says two bases of rotation", 4, rope_parameters={"rope_type": "default", "rope_theta": 5.0}),
    config("has a rotation whose base is one", 4, rope_theta=1.0),
    case("has a GPT-2 that listens to an encoder", IMPORT, 9, checkpoint(config=put(
        model_type="gpt2", architectures=["GPT2LMHeadModel"], n_embd=64, n_layer=1, n_head=2, n_positions=64,
        add_cross_attention=True))),
    case("has a Whisper with scaled embeddings", "apr import whisper -o model.apr", 9, whisper(config={"scale_embedding": True})),
]
