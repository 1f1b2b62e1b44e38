// Facts about a model that its header says, without loading a plugin or a tensor.
#pragma once

#include <optional>
#include <string>

#include "core/base/json.h"
#include "core/package/package.h"

namespace apr {

/// A number of the model's config under the first of its names that is there (config.json's own,
/// then the metadata's); null if none is.
Json config_fact(const Package& package, std::initializer_list<std::string_view> names);

/// "qwen2"; empty if neither config nor metadata says.
std::string architecture_name(const Package& package);

/// True if a chat template is carried, under any of the names templates have.
bool has_chat_template(const Package& package);

/// architecture, num_layers, num_heads, num_kv_heads, head_dim, hidden_size, intermediate_size,
/// vocab_size, max_position_embeddings, encoder (of a model that also has a decoder),
/// tied_embeddings; what is not known is null.
Json model_facts(const Package& package);

/// "import → convert (int4)"
std::string lineage_line(const Package& package);
Json lineage_as_json(const Package& package);

}  // namespace apr
