// Two models, or two traces, compared part by part.
#pragma once

#include <optional>
#include <string>

#include "core/package/package.h"
#include "orchestrator/stages/compare_tensors.h"
#include "orchestrator/stages/golden_trace.h"
#include "orchestrator/stages/verb.h"

namespace apr {

struct DiffOptions {
  double tolerance = 0;  ///< largest absolute difference that counts as none
  double relative = 0;   ///< relative RMS that counts as none
  std::string filter;    ///< only tensors, or values, whose names match

  bool allows(const TensorDifference& difference) const {
    if (difference.equal()) return true;
    if (difference.not_comparable > 0) return false;
    return difference.max_abs <= tolerance || difference.relative_rms <= relative;
  }
};

/// What two things differ in, the graver last: the number is diff's exit code.
enum class DiffClass : unsigned char {
  same = 0,
  description = 1,  ///< names, history, storage: not what is computed
  model = 5,        ///< what is computed
};
std::string_view name_of(DiffClass kind);
inline DiffClass worse(DiffClass a, DiffClass b) {
  return a < b ? b : a;
}

/// The whole report: "class", "summary", "parts", "differences", "tensors".
Result<Json> diff_models(RunContext& context, const Package& a, const Package& b,
                         const DiffOptions& options);
Result<Json> diff_traces(RunContext& context, const GoldenTrace& a, const GoldenTrace& b,
                         const DiffOptions& options);

}  // namespace apr
