#include <algorithm>

#include "core/base/cat.h"
#include "core/formats/apr/metadata.h"
#include "core/package/write.h"

namespace apr {

namespace {

/// The chat template of a Hugging Face folder: a file of its own, or a member of
/// tokenizer_config.json.
std::string chat_template_of(const Package& package) {
  if (const std::string* text = package.file("chat_template.jinja")) return *text;
  const std::string* file = package.file("tokenizer_config.json");
  if (file == nullptr) return {};
  const auto config = parse_json(*file);
  return config ? (*config)["chat_template"].as_string() : std::string();
}

/// Metadata for a package that comes from another format; its own metadata is kept as
/// source_metadata.
Json foreign_metadata(const Package& package) {
  // A name that the model carries, never the folder's: what is written must not depend on where it
  // lay.
  std::string name = base_name(package.config()["_name_or_path"].as_string());
  if (name.empty()) name = package.config()["model_type"].as_string();
  Json metadata =
      metadata_from_config(package.config(), name, package.format(), package.parameter_count());
  if (std::string text = chat_template_of(package); !text.empty()) {
    metadata.set("chat_template", std::move(text));
  }
  if (package.metadata().size() > 0) metadata.set("source_metadata", package.metadata());
  if (package.synthetic()) metadata.set("synthetic", true);
  return metadata;
}

}  // namespace

PackagePlan plan_copy(const Package& package) {
  PackagePlan plan;
  plan.metadata = package.format() == "apr" ? package.metadata() : foreign_metadata(package);
  plan.files = package.files();
  const auto table = package.tokenizer_table();
  plan.tokenizer_table.assign(table.begin(), table.end());
  plan.lineage = package.lineage();
  // Keeps the mappings for as long as the plan lives.
  const auto owner = std::make_shared<const Package>(package);
  for (const TensorEntry& entry : package.tensors()) {
    PackagePlan::PlannedTensor planned;
    planned.name = entry.name;
    planned.type = entry.view.type;
    planned.shape = entry.view.shape;
    planned.alias_of = entry.alias_of;
    planned.produce = [owner, bytes = entry.view.data](const auto& sink) { return sink(bytes); };
    plan.tensors.push_back(std::move(planned));
  }
  return plan;
}

Json metadata_from_config(const Json& config, std::string_view name,
                          std::string_view original_format, std::uint64_t param_count) {
  // The spellings of config.json are among the aliases, so the alias table does the renaming.
  constexpr std::string_view kNumbers[] = {"hidden_size",
                                           "num_layers",
                                           "num_heads",
                                           "num_kv_heads",
                                           "vocab_size",
                                           "intermediate_size",
                                           "max_position_embeddings",
                                           "rope_theta",
                                           "rms_norm_eps",
                                           "head_dim",
                                           "num_experts",
                                           "num_experts_per_tok",
                                           "moe_intermediate_size"};
  const Json renamed = canonical_apr_metadata(config);
  Json metadata = Json::object();
  const Json& model_type = config["model_type"];
  metadata.set("model_type", model_type.is_string() ? model_type : Json("unknown"));
  metadata.set("name", name);
  metadata.set("original_format", original_format);
  metadata.set("param_count", param_count);
  if (model_type.is_string()) {
    metadata.set("architecture", model_type);
    metadata.set("hf_model_type", model_type);
  }
  const JsonArray& architectures = config["architectures"].as_array();
  if (!architectures.empty()) metadata.set("hf_architecture", architectures.front());
  for (const std::string_view key : kNumbers) {
    if (renamed[key].is_number()) metadata.set(key, renamed[key]);
  }
  // Checkpoints of Hugging Face pair the halves of a head (2), never neighbours (0).
  if (renamed["rope_theta"].is_number()) metadata.set("rope_type", 2);
  if (config["tie_word_embeddings"].is_boolean()) {
    metadata.set("tied_embeddings", config["tie_word_embeddings"]);
  }
  return metadata;
}

}  // namespace apr
