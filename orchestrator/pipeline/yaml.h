// The YAML a pipeline may be written in, read under limits.
//
// yaml-cpp is used as a stream of events only. What is refused, with its place: more than one
// document, anchors, aliases, merge keys, tags, duplicate keys, keys that are not plain text, bytes
// that are not UTF-8, control characters, and anything beyond the limits. Plain words mean what
// they say: only `true` and `false` are booleans, only JSON's numbers are numbers; `yes`, `010` and
// `.5` are text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "orchestrator/pipeline/diagnostic.h"

namespace apr::pipeline {

struct YamlMember;

struct YamlNode {
  enum class Kind { null, boolean, integer, number, text, list, map };
  Kind kind = Kind::null;
  Position at;
  /// Of a scalar: as written, without quotes.
  std::string text;
  /// Column of the first character of `text` in the file if it is there byte for byte; else 0.
  int text_column = 0;
  std::vector<YamlNode> items;      ///< of a list
  std::vector<YamlMember> members;  ///< of a map, in order

  bool is_text() const { return kind == Kind::text; }
  bool is_scalar() const { return kind != Kind::list && kind != Kind::map; }
  std::string_view kind_name() const;  ///< with its article: "a list", "an integer"
  const YamlMember* find(std::string_view key) const;
  /// The same value as Json. References in texts are not looked at.
  Json to_json() const;
};

struct YamlMember {
  std::string key;
  Position at;
  YamlNode value;
};

struct YamlLimits {
  std::size_t max_bytes = std::size_t{256} << 10;
  int max_depth = 32;
  std::size_t max_nodes = 20'000;
};

/// The place of an error is in its context.
Result<YamlNode> parse_yaml(std::string_view text, std::string_view file,
                            const YamlLimits& limits = {});

}  // namespace apr::pipeline
