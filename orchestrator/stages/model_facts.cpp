#include "orchestrator/stages/model_facts.h"

#include "core/base/cat.h"
#include "core/runtime/model.h"

namespace apr {

Json config_fact(const Package& package, std::initializer_list<std::string_view> names) {
  for (const Json* source : {&package.config(), &package.metadata()}) {
    for (const std::string_view name : names) {
      const Json& value = (*source)[name];
      if (value.is_number() || value.is_boolean()) return value;
    }
  }
  return {};
}

std::string architecture_name(const Package& package) {
  if (const std::string& type = package.config()["model_type"].as_string(); !type.empty()) {
    return type;
  }
  for (const char* key : {"architecture", "hf_model_type", "model_type"}) {
    if (const std::string& name = package.metadata()[key].as_string(); !name.empty()) return name;
  }
  return {};
}

bool has_chat_template(const Package& package) {
  const auto parsed = chat_template_of(package);
  return parsed || parsed.error().code != ErrorCode::load;  // load: there is none
}

namespace {

/// Of an encoder beside a decoder; null: there is none.
Json encoder_facts(const Package& package) {
  const Json layers = config_fact(package, {"encoder_layers"});
  if (layers.is_null() || config_fact(package, {"decoder_layers"}).is_null()) return {};
  return Json::object({{"num_layers", layers},
                       {"num_heads", config_fact(package, {"encoder_attention_heads"})},
                       {"intermediate_size", config_fact(package, {"encoder_ffn_dim"})},
                       {"num_mel_bins", config_fact(package, {"num_mel_bins"})},
                       {"max_states", config_fact(package, {"max_source_positions"})}});
}

}  // namespace

Json model_facts(const Package& package) {
  const Json hidden = config_fact(package, {"hidden_size", "n_embd", "d_model", "hidden_dim"});
  // Of an encoder and a decoder, the decoder's; the encoder has its own entry.
  const Json heads = config_fact(
      package, {"decoder_attention_heads", "num_attention_heads", "n_head", "num_heads"});
  Json kv_heads = config_fact(package, {"num_key_value_heads", "num_kv_heads"});
  if (kv_heads.is_null()) kv_heads = heads;
  Json head_dim = config_fact(package, {"head_dim"});
  if (head_dim.is_null() && heads.as_integer() > 0) {
    head_dim = Json(hidden.as_integer() / heads.as_integer());
  }
  const std::string architecture = architecture_name(package);
  return Json::object(
      {{"architecture", architecture.empty() ? Json() : Json(architecture)},
       {"num_layers",
        config_fact(package, {"decoder_layers", "num_hidden_layers", "n_layer", "num_layers"})},
       {"num_heads", heads},
       {"num_kv_heads", kv_heads},
       {"head_dim", head_dim},
       {"hidden_size", hidden},
       {"intermediate_size",
        config_fact(package, {"decoder_ffn_dim", "intermediate_size", "n_inner", "ffn_dim"})},
       {"vocab_size", config_fact(package, {"vocab_size", "n_vocab"})},
       {"max_position_embeddings", config_fact(package, {"max_position_embeddings", "n_positions",
                                                         "n_ctx", "max_target_positions"})},
       {"encoder", encoder_facts(package)},
       {"tied_embeddings", config_fact(package, {"tie_word_embeddings", "tied_embeddings"})}});
}

std::string lineage_line(const Package& package) {
  std::string line;
  for (const LineageRecord& record : package.lineage()) {
    if (!line.empty()) line += " → ";
    line += record.stage;
    if (const std::string& scheme = record.parameters["quantize"].as_string(); !scheme.empty()) {
      line += cat(" (", scheme, ")");
    }
  }
  return line;
}

Json lineage_as_json(const Package& package) {
  Json list = Json::array();
  for (const LineageRecord& record : package.lineage()) {
    Json inputs = Json::array();
    for (const LineageRecord::Input& input : record.inputs) {
      inputs.push_back(Json::object({{"name", input.name}, {"sha256", input.digest.hex()}}));
    }
    list.push_back(Json::object({{"stage", record.stage},
                                 {"tool", record.tool},
                                 {"plugin", record.plugin},
                                 {"parameters", record.parameters},
                                 {"inputs", std::move(inputs)}}));
  }
  return list;
}

}  // namespace apr
