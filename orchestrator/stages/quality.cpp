// The quality rubric.
//
// The limits are generous: a trained model of any size keeps its points, and what loses some is
// what goes wrong in practice: layers never initialised or overwritten with one number, exports
// that lost rows, scales off by powers of ten, values that half precision cannot hold. Every rule
// can fire on its own; a rule costs its points once and its reason names the worst tensor and how
// many others there are.
#include "orchestrator/stages/quality.h"

#include <algorithm>
#include <cmath>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"

namespace apr {

namespace {

constexpr double kZeroShareEmbedding = 0.5;
constexpr double kZeroShareWeight = 0.8;
constexpr double kLargestHalf = 65504;
constexpr double kLargeDeviation = 100;
constexpr double kTinyNorm = 1e-6;

bool has_part(const std::string& name, std::string_view part) {
  return name.find(part) != name.npos;
}
bool is_embedding(const std::string& name) {
  return has_part(name, "embed");
}

/// Collects the tensors that break one rule.
struct Breaches {
  std::vector<std::string> reasons;
  void add(const std::string& tensor, std::string why) {
    reasons.push_back(cat(tensor, ": ", why));
  }
};

std::string percent(double share) {
  return cat(fixed(share * 100, 1), " %");
}

}  // namespace

std::vector<QualityRule> quality_rules() {
  return {
      {"non-finite", 40, "a tensor holds NaN or infinite values"},
      {"constant-tensor", 15, "every element of a matrix is the same number"},
      {"zero-share", 15, "zeros make up more than 50 % of an embedding or 80 % of another matrix"},
      {"vanishing-tensor", 10, "a matrix's Euclidean norm is below 1e-6"},
      {"zero-rows", 5, "more than 10 % of a matrix's rows hold nothing but zeros"},
      {"mean-drift", 5, "a matrix's mean is further from zero than its deviation"},
      {"large-spread", 5, "a matrix's deviation is above 100"},
      {"half-overflow", 5, "a value is beyond 65504, the largest half-precision number"},
      {"no-tokenizer", 10, "the file carries no tokenizer that opens and fits"},
      {"no-chat-template", 3, "the file carries no chat template, and its model could use one"},
      {"no-license", 2, "the metadata names no licence"},
      {"no-lineage", 3, "the file does not say what it was made from"},
      {"no-trust-section", 5, "there are no digests to check the weights against"},
  };
}

Quality rate(const Package& package, const std::map<std::string, TensorStatistics>& statistics,
             const QualityFacts& facts) {
  std::map<std::string, Breaches> breaches;
  for (const TensorEntry& entry : package.tensors()) {
    const auto found = statistics.find(entry.name);
    if (found == statistics.end() || found->second.elements == 0) continue;
    const TensorStatistics& s = found->second;
    const std::string& name = entry.name;
    const double largest = std::max(std::fabs(s.minimum), std::fabs(s.maximum));
    if (!s.finite()) {
      breaches["non-finite"].add(name, cat(s.nans, " NaN, ", s.infinities, " infinite"));
    }
    if (largest > kLargestHalf) breaches["half-overflow"].add(name, cat("holds ", largest));
    if (entry.view.shape.rank() < 2 || s.elements < 2)
      continue;  // norms and biases may be anything
    const double share = s.zero_share();
    if (s.minimum == s.maximum && s.finite()) {
      breaches["constant-tensor"].add(name, cat("every element is ", s.minimum));
      continue;  // the rules below would say the same again
    }
    if (share > (is_embedding(name) ? kZeroShareEmbedding : kZeroShareWeight)) {
      breaches["zero-share"].add(name, cat(percent(share), " zeros"));
    }
    if (s.norm < kTinyNorm) breaches["vanishing-tensor"].add(name, cat("norm ", s.norm));
    if (s.zero_rows * 10 > s.rows) {
      breaches["zero-rows"].add(name, cat(s.zero_rows, " of ", s.rows, " rows are zero"));
    }
    if (std::fabs(s.mean) > s.deviation) {
      breaches["mean-drift"].add(
          name, cat("mean ", significant(s.mean, 3), ", deviation ", significant(s.deviation, 3)));
    }
    if (s.deviation > kLargeDeviation) {
      breaches["large-spread"].add(name, cat("deviation ", significant(s.deviation, 4)));
    }
  }
  const auto say = [&](bool fine, const char* rule, const char* reason) {
    if (!fine) breaches[rule].reasons.emplace_back(reason);
  };
  say(facts.tokenizer, "no-tokenizer", "no tokenizer that opens and fits");
  say(facts.chat_template, "no-chat-template", "no chat template");
  say(facts.license, "no-license", "metadata key license is empty");
  say(facts.lineage, "no-lineage", "no lineage");
  say(facts.trust_section || !facts.is_apr, "no-trust-section", "no trust section");

  Quality quality;
  for (const QualityRule& rule : quality_rules()) {
    const auto found = breaches.find(rule.name);
    if (found == breaches.end()) continue;
    const auto& reasons = found->second.reasons;
    std::string reason = reasons.front();
    if (reasons.size() > 1) {
      reason += cat(" (and ", plural(reasons.size() - 1, "other tensor"), ")");
    }
    quality.deductions.push_back({rule.points, rule.name, std::move(reason)});
    quality.score -= rule.points;
  }
  quality.score = std::max(0, quality.score);
  return quality;
}

}  // namespace apr
