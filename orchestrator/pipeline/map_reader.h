// Reading one map of a pipeline file: which keys there may be, and of which kind they are.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cat.h"
#include "core/base/suggest.h"
#include "orchestrator/pipeline/pipeline.h"

namespace apr::pipeline {

using Names = std::vector<std::string>;

inline bool is_identifier(std::string_view word, bool dashes) {
  if (word.empty() || word.size() > 64) return false;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (!letter(word[0]) && word[0] != '_') return false;
  return std::all_of(word.begin(), word.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '_' || (dashes && c == '-');
  });
}

/// Reads one map: says which keys there are, refuses the others, hands out values of the right
/// kind.
class MapReader {
 public:
  MapReader(const YamlNode& node, std::string_view what, Names known, Names later,
            Diagnostics& diagnostics)
      : node_(node), what_(what), diagnostics_(diagnostics) {
    if (node.kind != YamlNode::Kind::map) {
      diagnostics.error(node.at, cat(what, " must be a map, not ", node.kind_name()),
                        cat("known keys: ", join_names(known)));
      return;
    }
    for (const YamlMember& member : node.members) {
      if (std::find(known.begin(), known.end(), member.key) != known.end()) continue;
      if (std::find(later.begin(), later.end(), member.key) != later.end()) {
        diagnostics.error(member.at, cat("'", member.key, "' of ", what, " is not supported yet"),
                          "remove it");
        continue;
      }
      diagnostics.error(member.at, cat("unknown key '", member.key, "' in ", what),
                        suggestion(member.key, known, "keys"));
    }
  }

  const YamlMember* member(std::string_view key) const { return node_.find(key); }

  std::string text(std::string_view key, bool required, Position* at = nullptr) {
    const YamlMember* found = member(key);
    if (found == nullptr) {
      if (required && node_.kind == YamlNode::Kind::map) {
        diagnostics_.error(node_.at, cat(what_, " lacks '", key, "'"), "");
      }
      return {};
    }
    if (at != nullptr) *at = found->value.at;
    if (!found->value.is_text()) {
      diagnostics_.error(
          found->value.at,
          cat("'", key, "' of ", what_, " must be a text, not ", found->value.kind_name()),
          found->value.is_scalar() ? "quote it" : "");
      return {};
    }
    return found->value.text;
  }

  const YamlNode* map(std::string_view key) {
    const YamlMember* found = member(key);
    if (found == nullptr) return nullptr;
    if (found->value.kind == YamlNode::Kind::map) return &found->value;
    diagnostics_.error(found->value.at, cat("'", key, "' of ", what_, " must be a map, not ",
                                            found->value.kind_name()));
    return nullptr;
  }

 private:
  const YamlNode& node_;
  std::string what_;
  Diagnostics& diagnostics_;
};

/// What stands under `stages:`: the groups, and their stages with every matrix expanded.
void read_stages(const YamlNode& node, Pipeline& pipeline, Diagnostics& diagnostics);
/// `retry`, `timeout` and `resources` of a stage or of `defaults`.
void read_conduct(MapReader& reader, const std::string& what, StageSpec& stage,
                  Diagnostics& diagnostics);
/// What stands under `report:`.
void read_report(const YamlNode& node, Pipeline& pipeline, Diagnostics& diagnostics);
/// `resources:` of a stage, or of the whole run (`whole`), which may also limit the disk.
ResourceSpec read_resources(const YamlNode& node, const std::string& what, bool whole,
                            Diagnostics& diagnostics);

}  // namespace apr::pipeline
