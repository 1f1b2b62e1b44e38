#include "core/formats/apr/metadata.h"

#include <algorithm>
#include <array>
#include <string>

namespace apr {

namespace {

struct Alias {
  std::string_view spelling;
  std::string_view canonical;
};

constexpr std::array kAliases = {
    Alias{"hidden_dim", "hidden_size"},
    Alias{"d_model", "hidden_size"},
    Alias{"n_embd", "hidden_size"},
    Alias{"num_hidden_layers", "num_layers"},
    Alias{"n_layers", "num_layers"},
    Alias{"n_layer", "num_layers"},
    Alias{"num_attention_heads", "num_heads"},
    Alias{"n_heads", "num_heads"},
    Alias{"n_head", "num_heads"},
    Alias{"num_key_value_heads", "num_kv_heads"},
    Alias{"n_kv_heads", "num_kv_heads"},
    Alias{"n_vocab", "vocab_size"},
    Alias{"ffn_dim", "intermediate_size"},
    Alias{"intermediate_dim", "intermediate_size"},
    Alias{"n_inner", "intermediate_size"},
    Alias{"max_seq_len", "max_position_embeddings"},
    Alias{"context_length", "max_position_embeddings"},
    Alias{"n_ctx", "max_position_embeddings"},
    Alias{"layer_norm_eps", "rms_norm_eps"},
    Alias{"norm_eps", "rms_norm_eps"},
};

enum class Presence { zero, null, optional };

struct CanonicalKey {
  std::string_view name;
  Presence when_absent = Presence::optional;
};

constexpr std::array kCanonicalKeys = {
    CanonicalKey{"model_type", Presence::zero},
    CanonicalKey{"name"},
    CanonicalKey{"description"},
    CanonicalKey{"author"},
    CanonicalKey{"license", Presence::null},
    CanonicalKey{"data_source", Presence::null},
    CanonicalKey{"data_license", Presence::null},
    CanonicalKey{"version"},
    CanonicalKey{"source"},
    CanonicalKey{"original_format"},
    CanonicalKey{"created_at"},
    CanonicalKey{"total_size", Presence::zero},
    CanonicalKey{"param_count", Presence::zero},
    CanonicalKey{"quantization"},
    CanonicalKey{"sharding"},
    CanonicalKey{"chat_template"},
    CanonicalKey{"chat_format"},
    CanonicalKey{"special_tokens"},
    CanonicalKey{"architecture"},
    CanonicalKey{"hf_architecture"},
    CanonicalKey{"hf_model_type"},
    CanonicalKey{"hidden_size"},
    CanonicalKey{"num_layers"},
    CanonicalKey{"num_heads"},
    CanonicalKey{"num_kv_heads"},
    CanonicalKey{"vocab_size"},
    CanonicalKey{"intermediate_size"},
    CanonicalKey{"max_position_embeddings"},
    CanonicalKey{"rope_theta"},
    CanonicalKey{"rope_type"},
    CanonicalKey{"rms_norm_eps"},
    CanonicalKey{"head_dim"},
    CanonicalKey{"num_experts"},
    CanonicalKey{"num_experts_per_tok"},
    CanonicalKey{"moe_intermediate_size"},
};

std::size_t rank_of(std::string_view key) {
  const auto found = std::ranges::find(kCanonicalKeys, key, &CanonicalKey::name);
  return static_cast<std::size_t>(found - kCanonicalKeys.begin());
}

}  // namespace

Json canonical_apr_metadata(Json metadata) {
  for (const Alias& alias : kAliases) {
    const Json* value = metadata.find(alias.spelling);
    if (value == nullptr) continue;
    if (metadata[alias.canonical].is_null()) {
      Json moved = *value;
      metadata.set(alias.canonical, std::move(moved));
    }
    metadata.erase(alias.spelling);
  }
  return metadata;
}

std::string write_apr_metadata(Json metadata) {
  metadata = canonical_apr_metadata(std::move(metadata));
  JsonObject members = metadata.as_object();
  for (const CanonicalKey& key : kCanonicalKeys) {
    const Json* value = metadata.find(key.name);
    if (value != nullptr && !value->is_null()) continue;
    std::erase_if(members, [&](const JsonMember& member) { return member.first == key.name; });
    if (key.when_absent == Presence::null) members.emplace_back(key.name, Json());
    if (key.when_absent == Presence::zero) {
      members.emplace_back(key.name, key.name == "model_type" ? Json("unknown") : Json(0));
    }
  }
  std::ranges::sort(members, [](const JsonMember& a, const JsonMember& b) {
    const std::size_t rank_a = rank_of(a.first);
    const std::size_t rank_b = rank_of(b.first);
    return rank_a != rank_b ? rank_a < rank_b : a.first < b.first;
  });
  return Json(std::move(members)).dump();
}

Json config_from_apr_metadata(const Json& metadata) {
  struct Field {
    std::string_view canonical;
    std::string_view hugging_face;
  };
  constexpr std::array kFields = {
      Field{"hidden_size", "hidden_size"},
      Field{"num_layers", "num_hidden_layers"},
      Field{"num_heads", "num_attention_heads"},
      Field{"num_kv_heads", "num_key_value_heads"},
      Field{"vocab_size", "vocab_size"},
      Field{"intermediate_size", "intermediate_size"},
      Field{"max_position_embeddings", "max_position_embeddings"},
      Field{"rope_theta", "rope_theta"},
      Field{"rms_norm_eps", "rms_norm_eps"},
      Field{"head_dim", "head_dim"},
  };
  Json config = Json::object();
  for (const std::string_view key : {"hf_model_type", "architecture", "model_type"}) {
    const Json& value = metadata[key];
    if (!value.is_string() || value.as_string().empty()) continue;
    config.set("model_type", value);
    break;
  }
  if (metadata["hf_architecture"].is_string()) {
    config.set("architectures", JsonArray{metadata["hf_architecture"]});
  }
  for (const Field& field : kFields) {
    const Json& value = metadata[field.canonical];
    if (value.is_number()) config.set(field.hugging_face, value);
  }
  if (metadata["tied_embeddings"].is_boolean()) {
    config.set("tie_word_embeddings", metadata["tied_embeddings"]);
  }
  return config;
}

}  // namespace apr
