#include "core/runtime/model.h"

#include <algorithm>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/lock.h"

namespace apr {

namespace {

Error no_tokenizer(const Package& package) {
  return make_error(
      ErrorCode::load, "the model carries no tokenizer", package.path(),
      "import it again from a folder that holds tokenizer.json, or vocab.json and merges.txt, or "
      "BERT's vocab.txt");
}

/// A small JSON file of the package; null if it is not there.
Result<Json> json_file(const Package& package, std::string_view name) {
  const std::string* text = package.file(name);
  if (text == nullptr) return Json();
  return parse_json(*text, cat(package.path(), ": ", name));
}

void add_ids(const Json& value, std::vector<TokenId>& ids) {
  const auto add = [&](const Json& id) {
    if (!id.is_integer() || id.as_integer() < 0 || id.as_integer() > INT32_MAX) return;
    const auto token = static_cast<TokenId>(id.as_integer());
    if (std::find(ids.begin(), ids.end(), token) == ids.end()) ids.push_back(token);
  };
  if (value.is_array()) {
    for (const Json& id : value.as_array()) add(id);
  } else {
    add(value);
  }
}

/// The template in tokenizer_config.json: one text, or a list of named ones.
std::string template_text(const Json& tokenizer_config) {
  const Json& entry = tokenizer_config["chat_template"];
  if (entry.is_string()) return entry.as_string();
  std::string first;
  for (const Json& named : entry.as_array()) {
    const std::string& text = named["template"].as_string();
    if (named["name"].as_string() == "default") return text;
    if (first.empty()) first = text;
  }
  return first;
}

}  // namespace

/// What is read on first use.
struct Model::Text {
  RecursiveLock lock;
  std::optional<Result<Tokenizer>> tokenizer;
  std::optional<Result<ChatTemplate>> chat_template;
};

Result<Graph> graph_of(const Package& package, Registry& registry) {
  auto architecture = registry.architecture_for(package.config());
  if (!architecture) return std::move(architecture).error().within(package.path());
  auto graph = (*architecture)->build(package.config(), "config.json");
  if (!graph) return std::move(graph).error().within(package.path());
  return graph;
}

bool has_tokenizer(const Package& package) {
  return !package.tokenizer_table().empty() || package.file("tokenizer.json") != nullptr ||
         (package.file("vocab.json") != nullptr && package.file("merges.txt") != nullptr) ||
         package.file("vocab.txt") != nullptr;
}

Result<Tokenizer> tokenizer_of(const Package& package) {
  if (const auto table = package.tokenizer_table(); !table.empty()) {
    return Tokenizer::from_binary(table, package.path());
  }
  const auto text = [&](std::string_view name) {
    const std::string* file = package.file(name);
    return file == nullptr ? std::string_view() : std::string_view(*file);
  };
  if (!has_tokenizer(package)) return no_tokenizer(package);
  if (package.file("tokenizer.json") != nullptr) {
    return Tokenizer::from_tokenizer_json(text("tokenizer.json"),
                                          cat(package.path(), ": tokenizer.json"),
                                          text("tokenizer_config.json"));
  }
  if (package.file("vocab.json") == nullptr || package.file("merges.txt") == nullptr) {
    return Tokenizer::from_vocab_txt(text("vocab.txt"), text("tokenizer_config.json"),
                                     text("special_tokens_map.json"), text("added_tokens.json"),
                                     cat(package.path(), ": vocab.txt"));
  }
  return Tokenizer::from_vocab_merges(text("vocab.json"), text("merges.txt"),
                                      text("added_tokens.json"), text("tokenizer_config.json"), {},
                                      cat(package.path(), ": vocab.json"));
}

Result<ChatTemplate> chat_template_of(const Package& package) {
  if (const std::string* text = package.file("chat_template.jinja")) {
    return ChatTemplate::parse(*text, cat(package.path(), ": chat_template.jinja"));
  }
  APR_ASSIGN(const Json tokenizer_config, json_file(package, "tokenizer_config.json"));
  if (const std::string text = template_text(tokenizer_config); !text.empty()) {
    return ChatTemplate::parse(text,
                               cat(package.path(), ": tokenizer_config.json: field chat_template"));
  }
  if (const std::string& text = package.metadata()["chat_template"].as_string(); !text.empty()) {
    return ChatTemplate::parse(text, cat(package.path(), ": metadata key chat_template"));
  }
  return make_error(ErrorCode::load, "the model carries no chat template", package.path(),
                    "give the prompt as it is, with --raw");
}

Result<Json> read_generation_config(const Package& package) {
  return json_file(package, "generation_config.json");
}

Result<Model> Model::load(Package package, Registry& registry, const ModelOptions& options) {
  if (package.synthetic() && !options.allow_synthetic) {
    return make_error(ErrorCode::load,
                      "the weights are synthetic (made up for measuring, not trained)",
                      package.path(), "pass --allow-synthetic to run them all the same");
  }
  Model model;
  model.package_ = std::make_shared<const Package>(std::move(package));
  model.text_ = std::make_shared<Text>();
  const Package& opened = *model.package_;

  APR_ASSIGN(const Graph graph, graph_of(opened, registry));
  APR_ASSIGN(Backend * backend, registry.backend(options.backend));
  auto executable = backend->compile(graph, opened, options.compile);
  if (!executable) return std::move(executable).error().within(opened.path());
  model.executable_ = std::shared_ptr<Executable>(*std::move(executable));

  APR_ASSIGN(const Json generation_config, read_generation_config(opened));
  add_ids(generation_config["eos_token_id"], model.stop_ids_);
  add_ids(opened.config()["eos_token_id"], model.stop_ids_);
  if (model.stop_ids_.empty() && graph.facts().causal) {
    if (const auto tokenizer = model.tokenizer(); tokenizer && (*tokenizer)->eos()) {
      model.stop_ids_.push_back(*(*tokenizer)->eos());
    }
  }
  return model;
}

Result<const Tokenizer*> Model::tokenizer() const {
  const Locked locked(text_->lock);
  if (!text_->tokenizer) {
    text_->tokenizer = tokenizer_of(*package_);
    const std::uint32_t vocab_size = facts().vocab_size;
    if (text_->tokenizer->ok() && text_->tokenizer->value().vocab_size() > vocab_size) {
      text_->tokenizer = make_error(
          ErrorCode::load,
          cat("the tokenizer has ids up to ", text_->tokenizer->value().vocab_size() - 1,
              ", but config.json says vocab_size ", vocab_size),
          package_->path(), "the tokenizer belongs to another model; import both from one folder");
    }
  }
  if (!*text_->tokenizer) return text_->tokenizer->error();
  return &text_->tokenizer->value();
}

Result<const ChatTemplate*> Model::chat_template() const {
  const Locked locked(text_->lock);
  if (!text_->chat_template) text_->chat_template = chat_template_of(*package_);
  if (!*text_->chat_template) return text_->chat_template->error();
  return &text_->chat_template->value();
}

Result<Session> Model::start(std::uint32_t context, std::uint32_t max_sequences) const {
  return Session::create(executable_, context, max_sequences);
}

}  // namespace apr
