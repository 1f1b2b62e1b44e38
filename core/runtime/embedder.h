// Embedder: token ids of texts -> one vector per text, by pooling a model's last hidden values.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/runtime/backend.h"
#include "core/runtime/session.h"

namespace apr {

/// How the vectors of a text's tokens become one. Sums are in float64, in order of the tokens.
enum class Pooling : std::uint8_t {
  cls,            ///< the first token's
  max,            ///< the largest of each number
  mean,           ///< the sum over the number of tokens
  mean_sqrt_len,  ///< the sum over the square root of the number of tokens
  weighted_mean,  ///< token i of the text, counted from 1, weighs i
  last_token,     ///< the last token's
  pooler,         ///< the model's own: a trained layer on the first token
};
/// "mean", "weightedmean", "lasttoken": as sentence-transformers calls them.
APR_API std::string_view name_of(Pooling pooling);
APR_API std::optional<Pooling> pooling_from_name(std::string_view name);
/// "mean", "cls+mean"
APR_API std::string name_of(std::span<const Pooling> poolings);

/// A text as the model reads it, special tokens included.
struct TextTokens {
  std::vector<TokenId> ids;
  std::vector<std::int32_t> types;  ///< empty, or the token type of each id
  /// So many tokens at the beginning are a prompt that is not pooled; cls takes the first token
  /// all the same, and pooler what the model makes of it.
  std::uint32_t unpooled = 0;
};

struct EmbedderOptions {
  /// Their results stand one after the other in the vector; pooler stands alone.
  std::vector<Pooling> pooling = {Pooling::mean};
  bool normalize = true;          ///< to length 1
  std::uint32_t max_tokens = 0;   ///< longest text; 0: what the model was made for
  std::uint32_t step_tokens = 0;  ///< tokens in a step; 0: kEmbeddingStepTokens
};

inline constexpr std::uint32_t kEmbeddingStepTokens = 2048;

/// Checks that a model of this graph can be pooled like that, fills in the zeros of `options` and
/// sets what the executable must be compiled for.
APR_API Status prepare_embedding(const Graph& graph, EmbedderOptions& options,
                                 CompileOptions& compile);

/// Not safe for use by two threads at once.
class APR_API Embedder {
 public:
  /// The executable was compiled as prepare_embedding() said, with the same options.
  static Result<Embedder> create(std::shared_ptr<Executable> executable,
                                 const EmbedderOptions& options);

  /// Numbers per text.
  std::uint32_t dimension() const;

  /// Told after every step how many tokens of this call are done; an error ends the call with it.
  using OnTokens = std::function<Status(std::uint64_t)>;
  /// Texts go through the model several in a step, without padding. `vectors` holds texts.size() ×
  /// dimension() numbers, in the order of the texts. In exact and deterministic mode a text's
  /// vector has the same bits whatever it is computed with. An error begins "text N: ", from 0.
  Status embed(std::span<const TextTokens> texts, std::span<float> vectors,
               const OnTokens& on_tokens = {});

 private:
  Embedder(Session session, EmbedderOptions options, std::string tap, std::uint32_t features);
  /// Tokens [begin, end) of a text: all of them, unless it is longer than a step.
  struct Part {
    std::size_t index = 0;
    const TextTokens* text = nullptr;
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  class Sink;
  Status check(std::span<const TextTokens> texts, std::span<float> vectors) const;
  Status run(std::span<const Part> parts, Sink& sink, std::span<float> vectors);
  Status finish(std::size_t index, std::span<float> vector) const;

  Session session_;
  EmbedderOptions options_;
  std::string tap_;  ///< the value that vectors are made of
  std::uint32_t features_ = 0;
  std::vector<TokenId> ids_;
  std::vector<std::int32_t> positions_;
  std::vector<std::int32_t> types_;
  std::vector<SequenceId> sequences_;
};

/// Of two vectors of one length; 0 where one of them is all zeros.
APR_API double cosine_similarity(std::span<const float> a, std::span<const float> b);

}  // namespace apr
