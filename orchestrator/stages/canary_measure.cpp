#include "orchestrator/stages/canary_measure.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/cat.h"
#include "core/base/hash.h"
#include "core/runtime/bind.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/stages/golden_check.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/parallel.h"
#include "orchestrator/stages/step_tokens.h"

namespace apr {

namespace {

constexpr std::size_t kSample = 64;
constexpr std::size_t kTop = 10;
constexpr std::uint64_t kFrames = 64;
/// Of single numbers, times max(1, largest recorded one): what instruction sets and builds differ
/// by in exact mode is a hundredth of this.
constexpr double kTolerance = 1e-4;

/// A small generator whose numbers are the same everywhere (Knuth's MMIX constants).
class MadeUp {
 public:
  explicit MadeUp(std::uint64_t seed) : state_(seed) {}
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::uint32_t>(state_ >> 33);
  }

 private:
  std::uint64_t state_;
};

std::string digest_of(std::span<const float> numbers) {
  Sha256 hash;
  if constexpr (std::endian::native == std::endian::little) {
    hash.update(std::as_bytes(numbers));
  } else {
    for (const float number : numbers) {
      const auto bits = std::bit_cast<std::uint32_t>(number);
      const std::byte bytes[4] = {std::byte(bits), std::byte(bits >> 8), std::byte(bits >> 16),
                                  std::byte(bits >> 24)};
      hash.update(bytes);
    }
  }
  return hash.finish().hex();
}

std::size_t sampled(std::size_t i, std::size_t count, std::uint64_t features) {
  return static_cast<std::size_t>(i * features / count);
}

void record_last(std::span<const float> row, CanaryPrompt& prompt) {
  prompt.features = row.size();
  const std::size_t count = std::min(kSample, row.size());
  for (std::size_t i = 0; i < count; ++i) {
    prompt.sample.push_back(static_cast<double>(row[sampled(i, count, row.size())]));
  }
  for (const TokenId index : largest_ids(row, std::min(kTop, row.size()))) {
    prompt.top.push_back(static_cast<std::uint64_t>(index));
    prompt.top_values.push_back(static_cast<double>(row[static_cast<std::size_t>(index)]));
  }
}

std::vector<float> made_up_frames(std::uint64_t frames, std::uint64_t features) {
  MadeUp numbers(7);
  std::vector<float> values(static_cast<std::size_t>(frames * features));
  for (float& value : values) {
    value = static_cast<float>(numbers.next() & 0xFFFF) / 32768.0F - 1.0F;
  }
  return values;
}

std::string shape_text(const std::vector<std::uint64_t>& dims) {
  std::string text;
  for (const std::uint64_t dim : dims) text += cat(text.empty() ? "" : ", ", dim);
  return cat("[", text, "]");
}

CanaryTensor describe(const TensorEntry& entry) {
  CanaryTensor tensor;
  tensor.name = entry.name;
  tensor.type = name_of(entry.view.type);
  tensor.shape.assign(entry.view.shape.dims().begin(), entry.view.shape.dims().end());
  return tensor;
}

/// Digests of many tensors at a time.
Status hash_all(RunContext& context, const std::vector<const TensorEntry*>& entries,
                std::vector<std::string>& digests) {
  digests.resize(entries.size());
  return parallel_pieces(context.threads, entries.size(), [&](std::size_t i) -> Status {
    APR_TRY(check_interrupted());
    digests[i] = sha256(entries[i]->view.data).hex();
    return {};
  });
}

/// What the noise of a type may do to a tensor's statistics; empty: nothing more than that.
std::string beyond_noise(const TensorStatistics& wanted, const TensorStatistics& found, Type type) {
  if (!found.finite()) return "holds NaN or infinite values";
  const double limit = tolerance_for(type, true).relative_rms;
  const auto apart = [](double a, double b, double allowed) {
    return !(std::fabs(a - b) <= allowed);
  };
  const double spread = std::max(std::fabs(wanted.minimum), std::fabs(wanted.maximum));
  const auto says = [&](const char* what, double a, double b) {
    return cat(what, " is ", significant(b, 4), ", was ", significant(a, 4));
  };
  if (apart(wanted.deviation, found.deviation, limit * wanted.deviation)) {
    return says("deviation", wanted.deviation, found.deviation);
  }
  if (apart(wanted.mean, found.mean, limit * std::max(wanted.deviation, std::fabs(wanted.mean)))) {
    return says("mean", wanted.mean, found.mean);
  }
  if (apart(wanted.minimum, found.minimum, limit * spread)) {
    return says("minimum", wanted.minimum, found.minimum);
  }
  if (apart(wanted.maximum, found.maximum, limit * spread)) {
    return says("maximum", wanted.maximum, found.maximum);
  }
  return {};
}

}  // namespace

Result<std::vector<CanaryTensor>> measure_tensors(RunContext& context, const Package& package) {
  std::vector<const TensorEntry*> entries;
  for (const TensorEntry& entry : package.tensors()) {
    if (entry.alias_of.empty()) entries.push_back(&entry);
  }
  std::vector<std::string> digests;
  APR_TRY(hash_all(context, entries, digests));
  std::vector<CanaryTensor> list;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    context.progress.update(entries[i]->name, i, entries.size());
    auto statistics = statistics_of(*entries[i], context.threads);
    if (!statistics) {
      return std::move(statistics)
          .error()
          .within(cat(package.path(), ": tensor ", entries[i]->name));
    }
    if (!statistics->finite()) {
      return make_error(
          ErrorCode::validation, "holds NaN or infinite values: not a state to hold later ones to",
          cat(package.path(), ": tensor ", entries[i]->name), "`apr validate` lists what is wrong");
    }
    CanaryTensor tensor = describe(*entries[i]);
    tensor.sha256 = digests[i];
    tensor.statistics = *statistics;
    list.push_back(std::move(tensor));
  }
  context.progress.finish();
  return list;
}

std::vector<std::string> canary_texts() {
  return {"Hello", "What is 2+2?", "The capital of France is", "def fibonacci(n):\n    ",
          "Ελληνικά, 日本語, 🙂"};
}

std::vector<std::vector<TokenId>> canary_ids(const ModelFacts& facts) {
  std::vector<std::vector<TokenId>> all;
  MadeUp numbers(1);
  for (const std::uint32_t count : {1U, 8U, 24U}) {
    const std::uint32_t most = facts.max_position_embeddings;
    std::vector<TokenId> ids(most == 0 ? count : std::min(count, most));
    for (TokenId& id : ids) id = static_cast<TokenId>(numbers.next() % facts.vocab_size);
    all.push_back(std::move(ids));
  }
  return all;
}

std::uint64_t canary_frames(const ModelFacts& facts) {
  return std::min<std::uint64_t>(kFrames, facts.max_frames);
}

Result<CanaryPrompt> measure_prompt(const Model& model, std::vector<TokenId> ids,
                                    std::uint64_t frames) {
  APR_ASSIGN(Session session, model.start(static_cast<std::uint32_t>(ids.size())));
  if (frames > 0) {
    for (const ValueId id : model.graph().inputs()) {
      const Value& value = model.graph().value(id);
      if (value.type.rows != Rows::frames) continue;
      APR_TRY(session.encode(0, made_up_frames(frames, value.type.features)));
    }
  }
  StepTokens step;
  step.add(0, 0, ids);
  APR_ASSIGN(const std::span<const float> rows, step.run(session));
  CanaryPrompt prompt;
  if (rows.empty() || rows.size() % ids.size() != 0) {
    return make_error(ErrorCode::inference, "the model gives no row per token");
  }
  const std::size_t features = rows.size() / ids.size();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    double squares = 0;
    for (const float number : rows.subspan(i * features, features)) {
      squares += static_cast<double>(number) * static_cast<double>(number);
    }
    prompt.row_rms.push_back(std::sqrt(squares / static_cast<double>(features)));
  }
  record_last(rows.last(features), prompt);
  prompt.digest = digest_of(rows);
  prompt.ids = std::move(ids);
  return prompt;
}

Result<std::vector<CanaryFinding>> check_tensors(RunContext& context, const Canary& canary,
                                                 const Package& package, const CanaryLimits& limits,
                                                 std::uint64_t& retyped) {
  std::vector<CanaryFinding> findings;
  const auto add = [&](const std::string& name, std::string problem) {
    findings.push_back({"tensor", name, std::move(problem)});
  };
  std::vector<const TensorEntry*> entries;
  std::vector<const CanaryTensor*> wanted;
  std::set<std::string> names;
  for (const CanaryTensor& tensor : canary.tensors) {
    names.insert(tensor.name);
    const TensorEntry* entry = package.find(tensor.name);
    if (entry == nullptr) {
      add(tensor.name, "is missing");
      continue;
    }
    const CanaryTensor found = describe(*entry);
    if (found.shape != tensor.shape) {
      add(tensor.name, cat("is ", shape_text(found.shape), ", was ", shape_text(tensor.shape)));
    } else if (found.type != tensor.type && !limits.type_aware) {
      add(tensor.name, cat("is ", found.type, ", was ", tensor.type));
    } else {
      entries.push_back(entry);
      wanted.push_back(&tensor);
    }
  }
  for (const TensorEntry& entry : package.tensors()) {
    if (entry.alias_of.empty() && !names.contains(entry.name)) add(entry.name, "is new");
  }
  std::vector<std::string> digests;
  APR_TRY(hash_all(context, entries, digests));
  for (std::size_t i = 0; i < entries.size(); ++i) {
    context.progress.update(entries[i]->name, i, entries.size());
    if (name_of(entries[i]->view.type) == wanted[i]->type) {
      if (digests[i] != wanted[i]->sha256) add(wanted[i]->name, "has other weights");
      continue;
    }
    ++retyped;
    APR_ASSIGN(const TensorStatistics found, statistics_of(*entries[i], context.threads));
    std::string problem = beyond_noise(wanted[i]->statistics, found, entries[i]->view.type);
    if (!problem.empty()) add(wanted[i]->name, std::move(problem));
  }
  context.progress.finish();
  return findings;
}

PromptFinding compare_prompt(const CanaryPrompt& wanted, const CanaryPrompt& found,
                             bool must_be_exact, bool retyped, Type coarsest, double tolerance) {
  PromptFinding result;
  result.same_digest = wanted.digest == found.digest;
  if (result.same_digest) return result;
  if (wanted.features != found.features || wanted.sample.size() != found.sample.size()) {
    result.problem = cat("has ", found.features, " numbers per token, had ", wanted.features);
    return result;
  }
  double squares = 0;
  double apart = 0;
  double largest = 1;
  bool finite = true;
  const auto add = [&](double a, double b) {
    finite = finite && std::isfinite(b);
    result.difference = std::max(result.difference, std::fabs(a - b));
    largest = std::max(largest, std::fabs(a));
    squares += a * a;
    apart += (a - b) * (a - b);
  };
  for (std::size_t i = 0; i < wanted.sample.size(); ++i) add(wanted.sample[i], found.sample[i]);
  for (std::size_t i = 0; i < wanted.row_rms.size(); ++i) {
    finite = finite && std::isfinite(found.row_rms[i]);
    if (!retyped) add(wanted.row_rms[i], found.row_rms[i]);
  }
  std::size_t common = 0;
  for (const std::uint64_t index : wanted.top) {
    common += std::ranges::count(found.top, index) > 0 ? 1 : 0;
  }
  result.relative_rms = squares > 0 ? std::sqrt(apart / squares) : (apart > 0 ? HUGE_VAL : 0);
  if (!finite) {
    result.problem = "gives NaN or infinite numbers";
  } else if (tolerance >= 0) {
    if (result.difference > tolerance) {
      result.problem = cat("differs by ", significant(result.difference, 3), ", allowed are ",
                           significant(tolerance, 3));
    }
  } else if (retyped) {
    const GoldenTolerance limit = tolerance_for(coarsest, true);
    if (result.relative_rms > limit.relative_rms) {
      result.problem = cat("differs by a relative RMS of ", significant(result.relative_rms, 3),
                           ", ", name_of(coarsest), " allows ", significant(limit.relative_rms, 3));
    } else if (wanted.top.size() == kTop && common < limit.top_overlap) {
      result.problem = cat("has ", common, " of the ten largest in common, ", name_of(coarsest),
                           " should keep ", limit.top_overlap);
    }
  } else if (must_be_exact) {
    result.problem = cat("differs by ", significant(result.difference, 3),
                         " where the same build must give the same bits");
  } else if (result.difference > kTolerance * largest) {
    result.problem = cat("differs by ", significant(result.difference, 3), ", allowed are ",
                         significant(kTolerance * largest, 3));
  }
  return result;
}

}  // namespace apr
