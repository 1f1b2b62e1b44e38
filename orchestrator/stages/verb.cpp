#include "orchestrator/stages/verb.h"

#include <algorithm>

namespace apr {

std::atomic<bool> g_interrupted{false};

Verb* find_verb(std::string_view name) {
  const auto& verbs = all_verbs();
  const auto found = std::find_if(verbs.begin(), verbs.end(),
                                  [&](const auto& verb) { return verb->info().name == name; });
  return found == verbs.end() ? nullptr : found->get();
}

}  // namespace apr
