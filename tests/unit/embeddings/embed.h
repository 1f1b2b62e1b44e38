// What the tests of embeddings share.
#pragma once

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/runtime/embedder.h"
#include "tests/unit/backends/models.h"

namespace apr::testing {

using Vectors = std::vector<float>;

inline std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline Embedder make_embedder(const TestModel& model, EmbedderOptions options, CompileOptions how,
                              const std::string& backend = "cpu") {
  must(prepare_embedding(model.graph, options, how));
  std::shared_ptr<Executable> executable =
      must(must(test_registry().backend(backend))->compile(model.graph, model.package, how));
  return must(Embedder::create(std::move(executable), options));
}

inline Vectors embed(Embedder& embedder, std::span<const TextTokens> texts) {
  Vectors vectors(texts.size() * embedder.dimension());
  must(embedder.embed(texts, vectors));
  return vectors;
}

inline double difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(d <= largest)) largest = d;
  }
  return largest;
}

/// Texts of random ids, of every length from 1 to the longest one.
inline std::vector<TextTokens> random_texts(std::size_t count, std::size_t longest,
                                            std::uint32_t vocabulary) {
  std::vector<TextTokens> texts(count);
  std::uint32_t state = 11;
  const auto next = [&] { return (state = state * 1664525 + 1013904223) >> 8; };
  for (TextTokens& text : texts) {
    text.ids.resize(1 + next() % longest);
    for (TokenId& id : text.ids) id = static_cast<TokenId>(next() % vocabulary);
  }
  return texts;
}

/// The reference's prompts of tiny-bert, each text of a batch on its own.
struct GoldenTexts {
  Json json;
  std::vector<std::string> names;               ///< "batch[1]"
  std::vector<std::vector<std::string>> texts;  ///< one, or a pair
  std::vector<TextTokens> tokens;               ///< without padding
  Vectors sentence;
  Vectors pooler;
};
inline GoldenTexts read_golden_texts(const std::string& folder) {
  GoldenTexts golden;
  golden.json = must(parse_json(file_text(folder + "/golden/golden.json")));
  std::map<std::string, Vectors> values;
  for (const NamedTensor& tensor : read_safetensors(folder + "/golden/golden.safetensors")) {
    values[tensor.name] = tensor.floats();
  }
  for (const Json& prompt : golden.json["prompts"].as_array()) {
    const std::string& name = prompt["name"].as_string();
    const bool batched = prompt["ids"].as_array().front().is_array();
    for (std::size_t r = 0; r < prompt["texts"].size(); ++r) {
      const auto row = [&](const char* field) -> const JsonArray& {
        return (batched ? prompt[field].as_array()[r] : prompt[field]).as_array();
      };
      TextTokens tokens;
      for (std::size_t i = 0; i < row("ids").size(); ++i) {
        if (row("attention_mask")[i].as_integer() == 0) continue;
        tokens.ids.push_back(static_cast<TokenId>(row("ids")[i].as_integer()));
        tokens.types.push_back(static_cast<std::int32_t>(row("token_type_ids")[i].as_integer()));
      }
      golden.tokens.push_back(std::move(tokens));
      golden.names.push_back(batched ? name + "[" + std::to_string(r) + "]" : name);
      golden.texts.emplace_back();
      for (const Json& text : prompt["texts"].as_array()[r].as_array()) {
        golden.texts.back().push_back(text.as_string());
      }
    }
    const auto append = [&](Vectors& to, const char* what) {
      const Vectors& all = values.at(name + what);
      to.insert(to.end(), all.begin(), all.end());
    };
    append(golden.sentence, ".sentence_embedding");
    append(golden.pooler, ".pooler_output");
  }
  return golden;
}

}  // namespace apr::testing
