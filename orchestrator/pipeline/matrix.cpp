#include "orchestrator/pipeline/matrix.h"

#include <algorithm>

#include "orchestrator/pipeline/map_reader.h"

namespace apr::pipeline {
namespace {

constexpr std::size_t kMaxCombinations = 256;
constexpr std::size_t kMaxLabel = 40;

bool fits_a_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLabel &&
         std::all_of(text.begin(), text.end(),
                     [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
                              c == '+';
                     }) &&
         text != "." && text != "..";
}

class MatrixReader {
 public:
  MatrixReader(const std::string& what, Diagnostics& diagnostics)
      : what_(what), diagnostics_(diagnostics) {}

  Matrix read(const YamlNode& node) {
    const std::size_t errors = diagnostics_.errors();
    if (node.kind != YamlNode::Kind::map) {
      error(node.at, cat("'matrix' of ", what_, " must be a map, not ", node.kind_name()),
            "write for example: matrix: {scheme: [q8_0, q4_0]}");
      return {};
    }
    for (const YamlMember& member : node.members) {
      if (member.key != "include" && member.key != "exclude") read_axis(member);
    }
    if (diagnostics_.errors() != errors) return {};
    std::size_t count = 1;
    for (const auto& values : values_) {
      count *= std::max<std::size_t>(values.size(), 1);
      if (count <= kMaxCombinations) continue;
      error(node.at,
            cat("the matrix of ", what_, " has more than ", kMaxCombinations, " combinations"),
            "leave out values");
      return {};
    }
    if (!matrix_.axes.empty()) multiply();
    if (const YamlMember* exclude = node.find("exclude")) read_exclude(exclude->value);
    if (const YamlMember* include = node.find("include")) read_include(include->value);
    if (diagnostics_.errors() == errors) {
      if (matrix_.axes.empty()) {
        error(node.at, cat("the matrix of ", what_, " has no axis"),
              "write for example: matrix: {scheme: [q8_0, q4_0]}");
      } else if (matrix_.combinations.empty()) {
        error(node.at, cat("the matrix of ", what_, " has no combination left"), "exclude fewer");
      } else if (matrix_.combinations.size() > kMaxCombinations) {
        error(node.at,
              cat("the matrix of ", what_, " has more than ", kMaxCombinations, " combinations"),
              "include fewer");
      }
    }
    if (diagnostics_.errors() != errors) return {};
    return std::move(matrix_);
  }

 private:
  void error(Position at, std::string message, std::string hint) {
    diagnostics_.error(at, std::move(message), std::move(hint));
  }

  /// A plain value: references would make the stages themselves unknown before the run.
  bool is_plain(const YamlNode& node) {
    if (!node.is_scalar() || node.kind == YamlNode::Kind::null) {
      error(node.at,
            cat("a value of the matrix of ", what_,
                " must be a text, a number, true or "
                "false, not ",
                node.kind_name()),
            "");
      return false;
    }
    if (node.is_text() && node.text.find("${") != std::string::npos) {
      error(node.at, cat("a value of the matrix of ", what_, " holds a reference"),
            "which stages there are must be known before the run: write plain values");
      return false;
    }
    return true;
  }

  void read_axis(const YamlMember& member) {
    if (!is_identifier(member.key, true)) {
      error(member.at, cat("'", member.key, "' cannot be an axis's name"),
            "use letters, digits, '_' and '-'");
      return;
    }
    if (member.value.kind != YamlNode::Kind::list || member.value.items.empty()) {
      error(member.value.at,
            cat("axis '", member.key, "' of the matrix of ", what_, " must be a list of values"),
            cat("write for example: ", member.key, ": [a, b]"));
      return;
    }
    std::vector<MatrixValue> values;
    for (const YamlNode& item : member.value.items) {
      if (!is_plain(item)) continue;
      MatrixValue value = value_of(member.key, item, values.size());
      const bool twice = std::any_of(values.begin(), values.end(), [&](const MatrixValue& other) {
        return other.label == value.label;
      });
      if (twice) {
        error(item.at, cat("axis '", member.key, "' has the value ", item.text, " twice"), "");
        continue;
      }
      values.push_back(std::move(value));
    }
    matrix_.axes.push_back(member.key);
    values_.push_back(std::move(values));
  }

  static MatrixValue value_of(const std::string& axis, const YamlNode& node, std::size_t index) {
    return {axis, fits_a_name(node.text) ? node.text : cat("#", index + 1), node.to_json()};
  }

  void multiply() {
    matrix_.combinations.emplace_back();
    for (const auto& values : values_) {
      std::vector<Combination> longer;
      for (const Combination& combination : matrix_.combinations) {
        for (const MatrixValue& value : values) {
          longer.push_back(combination);
          longer.back().values.push_back(value);
        }
      }
      matrix_.combinations = std::move(longer);
    }
  }

  /// The entries of `include` or `exclude`: maps of plain values.
  template <typename Use>
  void for_each_entry(const YamlNode& node, std::string_view key, Use use) {
    if (node.kind != YamlNode::Kind::list) {
      error(node.at, cat("'", key, "' of the matrix of ", what_, " must be a list of maps"), "");
      return;
    }
    for (const YamlNode& entry : node.items) {
      if (entry.kind != YamlNode::Kind::map || entry.members.empty()) {
        error(entry.at,
              cat("an entry of '", key, "' of ", what_, " must be a map, not ", entry.kind_name()),
              "");
        continue;
      }
      const bool plain =
          std::all_of(entry.members.begin(), entry.members.end(),
                      [&](const YamlMember& member) { return is_plain(member.value); });
      if (plain) use(entry);
    }
  }

  bool is_axis(const std::string& name) const {
    return std::find(matrix_.axes.begin(), matrix_.axes.end(), name) != matrix_.axes.end();
  }

  /// Whether the combination has all values that the entry gives for axes.
  bool fits(const Combination& combination, const YamlNode& entry) const {
    return std::all_of(combination.values.begin(), combination.values.end(),
                       [&](const MatrixValue& value) {
                         const YamlMember* wanted = entry.find(value.axis);
                         return wanted == nullptr || wanted->value.to_json() == value.value;
                       });
  }

  void read_exclude(const YamlNode& node) {
    for_each_entry(node, "exclude", [&](const YamlNode& entry) {
      for (const YamlMember& member : entry.members) {
        if (is_axis(member.key)) continue;
        error(member.at, cat("the matrix of ", what_, " has no axis '", member.key, "'"),
              suggestion(member.key, matrix_.axes, "axes"));
        return;
      }
      const std::size_t before = matrix_.combinations.size();
      std::erase_if(matrix_.combinations,
                    [&](const Combination& combination) { return fits(combination, entry); });
      if (matrix_.combinations.size() == before) {
        error(entry.at, "this excludes nothing", "no combination has these values");
      }
    });
  }

  void read_include(const YamlNode& node) {
    for_each_entry(node, "include", [&](const YamlNode& entry) {
      Json extras = Json::object();
      for (const YamlMember& member : entry.members) {
        if (is_axis(member.key)) continue;
        if (!is_identifier(member.key, true)) {
          error(member.at, cat("'", member.key, "' cannot be a name in a matrix"),
                "use letters, digits, '_' and '-'");
          return;
        }
        extras.set(member.key, member.value.to_json());
        if (std::find(matrix_.extras.begin(), matrix_.extras.end(), member.key) ==
            matrix_.extras.end()) {
          matrix_.extras.push_back(member.key);
        }
      }
      bool found = false;
      for (Combination& combination : matrix_.combinations) {
        if (!fits(combination, entry)) continue;
        found = true;
        for (const auto& [key, value] : extras.as_object()) combination.extras.set(key, value);
      }
      if (found) {
        if (extras.size() == 0) error(entry.at, "this combination is there already", "remove it");
        return;
      }
      add_combination(entry, std::move(extras));
    });
  }

  void add_combination(const YamlNode& entry, Json extras) {
    Combination combination;
    combination.extras = std::move(extras);
    for (std::size_t i = 0; i < matrix_.axes.size(); ++i) {
      const YamlMember* given = entry.find(matrix_.axes[i]);
      if (given == nullptr) {
        error(entry.at, cat("this combination lacks '", matrix_.axes[i], "'"),
              "a combination more needs a value for every axis");
        return;
      }
      const auto known = std::find_if(
          values_[i].begin(), values_[i].end(),
          [&](const MatrixValue& value) { return value.value == given->value.to_json(); });
      if (known == values_[i].end()) {
        values_[i].push_back(value_of(matrix_.axes[i], given->value, values_[i].size()));
        combination.values.push_back(values_[i].back());
      } else {
        combination.values.push_back(*known);
      }
    }
    matrix_.combinations.push_back(std::move(combination));
  }

  std::string what_;
  Diagnostics& diagnostics_;
  Matrix matrix_;
  std::vector<std::vector<MatrixValue>> values_;  ///< by axis
};

}  // namespace

Matrix read_matrix(const YamlNode& node, const std::string& what, Diagnostics& diagnostics) {
  return MatrixReader(what, diagnostics).read(node);
}

std::string name_of_combination(const std::string& group, const Combination& combination) {
  std::string name = cat(group, "[");
  for (const MatrixValue& value : combination.values) {
    name += cat(name.back() == '[' ? "" : ",", value.label);
  }
  return name + "]";
}

}  // namespace apr::pipeline
