// Model: everything needed to run a package, put together: architecture, graph, backend, tokenizer.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/package/package.h"
#include "core/plugin/registry.h"
#include "core/runtime/backend.h"
#include "core/runtime/session.h"
#include "core/text/chat_template.h"
#include "core/text/tokenizer.h"

namespace apr {

struct ModelOptions {
  std::string backend = "cpu";
  CompileOptions compile;
  /// Made-up weights are refused unless this is set.
  bool allow_synthetic = false;
};

class APR_API Model {
 public:
  /// Builds the graph, checks that the tokenizer's ids fit the vocabulary, compiles.
  static Result<Model> load(Package package, Registry& registry, const ModelOptions& options);

  const Package& package() const { return *package_; }
  const Graph& graph() const { return executable_->graph(); }
  const ModelFacts& facts() const { return graph().facts(); }
  const std::shared_ptr<Executable>& executable() const { return executable_; }
  /// The tokenizer, or why there is none. Read from the package on first use.
  Result<const Tokenizer*> tokenizer() const;
  /// The chat template, or why there is none.
  Result<const ChatTemplate*> chat_template() const;
  /// Ids that end an answer, from generation_config.json, config.json and the tokenizer.
  const std::vector<TokenId>& stop_ids() const { return stop_ids_; }
  Result<Session> start(std::uint32_t context, std::uint32_t max_sequences = 1) const;

 private:
  Model() = default;
  std::shared_ptr<const Package> package_;
  std::shared_ptr<Executable> executable_;
  std::vector<TokenId> stop_ids_;
  struct Text;
  std::shared_ptr<Text> text_;
};

/// The graph of a package by its config's model_type; the error lists the architectures there are.
APR_API Result<Graph> graph_of(const Package& package, Registry& registry);
/// Whether a package carries a tokenizer in any form that tokenizer_of() reads.
APR_API bool has_tokenizer(const Package& package);
/// The tokenizer of a package: its binary table, else its tokenizer.json, else its vocab.json and
/// merges.txt.
APR_API Result<Tokenizer> tokenizer_of(const Package& package);
/// The chat template of a package: chat_template.jinja, tokenizer_config.json or metadata.
APR_API Result<ChatTemplate> chat_template_of(const Package& package);
/// generation_config.json; null if the package carries none.
APR_API Result<Json> read_generation_config(const Package& package);

}  // namespace apr
