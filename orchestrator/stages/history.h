// Holding a model's recorded history to what can be checked of it.
//
// A history is a list of steps, oldest first. Each names what it was made from by digest: source
// files by their SHA-256, a parent `.apr` by its content root, an exported folder by the history
// that the export left in it (core/package/exported_lineage.h). What a step gave is therefore what
// the next one names, and what the last one gave is the model itself. Checked are: that the steps
// are what the model's content root was taken of; that the small files which the model carries are
// those that a step read; that no link is missing; and the parents and sources at hand.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/package/package.h"
#include "core/package/write.h"

namespace apr {

enum class LinkStatus : unsigned char {
  verified,  ///< the bytes are at hand and have this digest
  recorded,  ///< sealed by the content root, but the bytes are not here
  broken,
};
std::string_view name_of(LinkStatus status);

struct HistoryInput {
  std::string name;
  std::string digest;  ///< hexadecimal
  LinkStatus status = LinkStatus::recorded;
  std::string detail;
};

struct HistoryStep {
  const LineageRecord* record = nullptr;
  std::vector<HistoryInput> inputs;
  std::string gave;  ///< digest of the result; empty: not known
  LinkStatus gave_status = LinkStatus::recorded;
  std::string gave_detail;
};

/// A parent or source to compare the history with.
struct Relative {
  const Package* package = nullptr;
  /// Content root, or SHA-256 of an `.apr` without one; nothing for other sources.
  std::optional<Digest> digest;
  std::vector<std::string> problems;  ///< of its own bytes
};

struct History {
  std::vector<HistoryStep> steps;
  std::vector<std::string> problems;  ///< broken links, one sentence each
  std::vector<std::string> lost;      ///< what could not be checked because it is not there
  bool verified() const { return problems.empty() && !steps.empty(); }
};

/// `found` is what reading all of the model's bytes gave; nothing for a source that is no `.apr`.
History check_history(const Package& package, const std::optional<AprVerification>& found,
                      const std::vector<Relative>& relatives);

Json history_as_json(const History& history);

}  // namespace apr
