#include "core/runtime/embedding_recipe.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/base/cat.h"

namespace apr {

namespace {

constexpr std::string_view kModules = "modules.json";
constexpr std::string_view kTransformerConfig = "sentence_bert_config.json";
constexpr std::string_view kPromptsConfig = "config_sentence_transformers.json";
constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
/// Tokenizers without a limit say so by a number beyond any sequence: 1e30.
constexpr double kNoLimit = 1e9;

/// In the order in which their parts stand in a vector.
struct Mode {
  std::string_view field;
  Pooling pooling;
};
constexpr std::array<Mode, 6> kModes = {
    {{"pooling_mode_cls_token", Pooling::cls},
     {"pooling_mode_max_tokens", Pooling::max},
     {"pooling_mode_mean_tokens", Pooling::mean},
     {"pooling_mode_mean_sqrt_len_tokens", Pooling::mean_sqrt_len},
     {"pooling_mode_weightedmean_tokens", Pooling::weighted_mean},
     {"pooling_mode_lasttoken", Pooling::last_token}}};

class RecipeReader {
 public:
  RecipeReader(const Package& package, const ModelFacts& facts, bool need_pooling)
      : package_(package), facts_(facts), need_pooling_(need_pooling) {}

  Result<EmbeddingRecipe> read() {
    APR_ASSIGN(const Json modules, file(kModules));
    if (modules.is_null()) {
      recipe_.pooling = {facts_.causal ? Pooling::last_token : Pooling::mean};
    } else {
      APR_TRY(read_modules(modules));
    }
    APR_TRY(read_limits());
    APR_TRY(read_prompts());
    return std::move(recipe_);
  }

 private:
  std::string where(std::string_view name) const { return cat(package_.path(), ": ", name); }
  Error malformed(std::string_view name, std::string message) const {
    return make_error(ErrorCode::format, std::move(message), where(name));
  }

  /// A file of the package, which must hold an object or a list; null if it is not there.
  Result<Json> file(std::string_view name) const {
    const std::string* text = package_.file(name);
    if (text == nullptr) return Json();
    APR_ASSIGN(Json json, parse_json(*text, where(name)));
    if (json.is_array() == (name == kModules) && (json.is_array() || json.is_object())) {
      return json;
    }
    return malformed(name, cat("is not a JSON ", name == kModules ? "list" : "object"));
  }

  /// A member that is absent, null or a boolean.
  Result<bool> flag(const Json& json, std::string_view name, std::string_view field,
                    bool fallback) const {
    const Json& value = json[field];
    if (value.is_null() || value.is_boolean()) return value.as_boolean(fallback);
    return malformed(name, cat("field ", field, ": must be true or false, not ", value.dump()));
  }

  // --- modules ---

  /// sentence-transformers runs its modules one after the other: the model, a pooling, and perhaps
  /// a normalization.
  Status read_modules(const Json& modules) {
    recipe_.from_modules = true;
    recipe_.strip = true;
    recipe_.normalize = false;
    const JsonArray& list = modules.as_array();
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string& type = list[i]["type"].as_string();
      const Json& path = list[i]["path"];
      if (type.empty() || (!path.is_string() && !path.is_null())) {
        return malformed(kModules, cat("module ", i, " has no type, or a path that is no text"));
      }
      const std::string_view name = std::string_view(type).substr(type.rfind('.') + 1);
      const bool known = type.starts_with("sentence_transformers.");
      if (known && name == "Transformer" && i == 0) continue;
      if (known && name == "Pooling" && i > 0 && recipe_.pooling.empty()) {
        APR_TRY(read_pooling(path.as_string()));
        continue;
      }
      if (known && name == "Normalize" && !recipe_.pooling.empty()) {
        recipe_.normalize = true;
        continue;
      }
      return make_error(ErrorCode::unsupported,
                        cat("module ", i, " is ", type,
                            ", which is not supported there: a Transformer, a Pooling and perhaps "
                            "Normalize are"),
                        where(kModules));
    }
    if (!recipe_.pooling.empty()) return {};
    return make_error(ErrorCode::unsupported, "there is no Pooling among the modules",
                      where(kModules));
  }

  Status read_pooling(const std::string& path) {
    const std::string name = path.empty() ? "config.json" : cat(path, "/config.json");
    APR_ASSIGN(const Json config, file(name));
    if (config.is_null() && !need_pooling_) {
      recipe_.pooling = {Pooling::mean};
      return {};
    }
    if (path.empty() || config.is_null()) {
      return make_error(ErrorCode::load, cat("it names a pooling whose ", name, " is missing"),
                        where(kModules),
                        "import the model again from a folder that holds it, or choose --pooling");
    }
    for (const Mode& mode : kModes) {
      APR_ASSIGN(const bool on, flag(config, name, mode.field, false));
      if (on) recipe_.pooling.push_back(mode.pooling);
    }
    for (const auto& [field, value] : config.as_object()) {
      const bool known = std::any_of(kModes.begin(), kModes.end(),
                                     [&](const Mode& mode) { return mode.field == field; });
      if (field.starts_with("pooling_mode_") && !known && value.as_boolean(true)) {
        return make_error(ErrorCode::unsupported, cat("field ", field, " is not supported"),
                          where(name));
      }
    }
    if (recipe_.pooling.empty()) APR_TRY(read_mode_by_name(config, name));
    if (recipe_.pooling.empty()) return malformed(name, "no pooling mode is true");
    APR_ASSIGN(recipe_.pool_prompt, flag(config, name, "include_prompt", true));
    const Json& dimension = config["word_embedding_dimension"];
    if (!dimension.is_null() && dimension != Json(facts_.hidden_size)) {
      return malformed(name, cat("field word_embedding_dimension: ", dimension.dump(),
                                 " is not the model's hidden_size ", facts_.hidden_size));
    }
    return {};
  }

  /// One mode by its short name, instead of a truth value for each.
  Status read_mode_by_name(const Json& config, const std::string& name) {
    const Json& mode = config["pooling_mode"];
    if (mode.is_null()) return {};
    const auto pooling = pooling_from_name(mode.as_string());
    if (!pooling || *pooling == Pooling::pooler) {
      return make_error(ErrorCode::unsupported,
                        cat("field pooling_mode: ", mode.dump(), " is not supported"), where(name));
    }
    recipe_.pooling = {*pooling};
    return {};
  }

  // --- lengths ---

  void limit_to(double tokens, std::string from) {
    if (!(tokens >= 1 && tokens < kNoLimit)) return;
    const auto limit = static_cast<std::uint32_t>(tokens);
    if (recipe_.max_tokens != 0 && recipe_.max_tokens < limit) return;
    recipe_.max_tokens = limit;
    recipe_.max_tokens_from = std::move(from);
  }

  Status read_limits() {
    APR_ASSIGN(const Json transformer, file(kTransformerConfig));
    APR_ASSIGN(const Json tokenizer, file(kTokenizerConfig));
    limit_to(facts_.max_position_embeddings, "config.json: field max_position_embeddings");
    const Json& length = transformer["max_seq_length"];
    if (!length.is_null() && !(length.is_integer() && length.as_integer() > 0)) {
      return malformed(kTransformerConfig,
                       cat("field max_seq_length: ", length.dump(), " is not a number of tokens"));
    }
    limit_to(length.as_number(), cat(kTransformerConfig, ": field max_seq_length"));
    if (length.is_null()) {
      limit_to(tokenizer["model_max_length"].as_number(),
               cat(kTokenizerConfig, ": field model_max_length"));
    }
    recipe_.truncate_left = tokenizer["truncation_side"].as_string() == "left";
    APR_ASSIGN(recipe_.lower_case, flag(transformer, kTransformerConfig, "do_lower_case", false));
    return {};
  }

  // --- prompts ---

  Status read_prompts() {
    APR_ASSIGN(const Json config, file(kPromptsConfig));
    const Json& prompts = config["prompts"];
    if (!prompts.is_null() && !prompts.is_object()) {
      return malformed(kPromptsConfig, "field prompts: is not an object");
    }
    for (const auto& [name, text] : prompts.as_object()) {
      if (!text.is_string()) {
        return malformed(kPromptsConfig, cat("field prompts.", name, ": is not a text"));
      }
      recipe_.prompts.emplace_back(name, text.as_string());
    }
    const Json& name = config["default_prompt_name"];
    if (name.is_null()) return {};
    recipe_.default_prompt = name.as_string();
    const bool known =
        std::any_of(recipe_.prompts.begin(), recipe_.prompts.end(),
                    [&](const auto& prompt) { return prompt.first == recipe_.default_prompt; });
    if (name.is_string() && known) return {};
    return malformed(kPromptsConfig,
                     cat("field default_prompt_name: ", name.dump(), " is none of the prompts"));
  }

  const Package& package_;
  const ModelFacts& facts_;
  bool need_pooling_;
  EmbeddingRecipe recipe_;
};

}  // namespace

Result<EmbeddingRecipe> embedding_recipe(const Package& package, const ModelFacts& facts,
                                         bool need_pooling) {
  return RecipeReader(package, facts, need_pooling).read();
}

}  // namespace apr
