#include "orchestrator/pipeline/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "core/base/cat.h"

namespace apr::pipeline {
namespace {

struct Refusal {
  Position at;
  std::string message;
  std::string hint;
};

Position position_of(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

bool is_digit(char character) {
  return character >= '0' && character <= '9';
}

/// The grammar of JSON's numbers.
bool is_json_number(std::string_view text, bool& integral) {
  std::size_t at = 0;
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at - begin;
  };
  if (at < text.size() && text[at] == '-') ++at;
  const std::size_t first = at;
  const std::size_t whole = digits();
  if (whole == 0 || (whole > 1 && text[first] == '0')) return false;
  integral = true;
  if (at < text.size() && text[at] == '.') {
    integral = false;
    ++at;
    if (digits() == 0) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    integral = false;
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

/// Offset of the first byte that a pipeline file may not hold, or npos.
std::size_t first_bad_byte(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0x80) {
      if ((lead < 0x20 && lead != '\t' && lead != '\n' && lead != '\r') || lead == 0x7f) return at;
      ++at;
      continue;
    }
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - at < length) return at;
    for (std::size_t i = 1; i < length; ++i) {
      const auto next = static_cast<unsigned char>(text[at + i]);
      if ((next & 0xc0) != 0x80) return at;
      if (i == 1 && ((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) ||
                     (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f))) {
        return at;
      }
    }
    at += length;
  }
  return std::string_view::npos;
}

Position position_at(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = static_cast<int>(std::count(before.begin(), before.end(), '\n'));
  const std::size_t newline = before.rfind('\n');
  const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
  return {line + 1, static_cast<int>(offset - start) + 1};
}

class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view source, const YamlLimits& limits) : limits_(limits) {
    std::size_t start = 0;
    while (start <= source.size()) {
      const std::size_t end = std::min(source.find('\n', start), source.size());
      lines_.push_back(source.substr(start, end - start));
      start = end + 1;
    }
  }

  YamlNode take() { return std::move(root_); }
  bool empty() const { return documents_ == 0; }
  /// Where the innermost list or map begins that is not complete.
  Position open_at() const { return stack_.empty() ? Position{1, 1} : stack_.back().node.at; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw Refusal{position_of(mark), "a second YAML document",
                    "one document is read; remove the '---'"};
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    YamlNode node;
    node.at = position_of(mark);
    add_scalar(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal{position_of(mark), "an alias (*name)",
                  "aliases are not part of pipeline YAML; write the value out"};
  }

  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    throw Refusal{position_of(mark), cat("an anchor (&", name, ")"),
                  "anchors are not read here; write the value out"};
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    YamlNode node;
    node.at = position_of(mark);
    node.kind = YamlNode::Kind::text;
    node.text = value;
    const bool quoted = tag == "!";
    if (!quoted) resolve_plain(node);
    const int column = node.at.column + (quoted ? 1 : 0);
    const std::string_view line = line_of(node.at.line);
    const auto offset = static_cast<std::size_t>(column - 1);
    if (!value.empty() && offset <= line.size() && line.substr(offset).starts_with(value)) {
      node.text_column = column;
    }
    add_scalar(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    bool has_key = false;
    std::string key;
    Position key_at;
  };

  std::string_view line_of(int line) const {
    const auto index = static_cast<std::size_t>(line - 1);
    return index < lines_.size() ? lines_[index] : std::string_view{};
  }

  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) {
      throw Refusal{position_of(mark), "an anchor",
                    "anchors are not read here; write the value out"};
    }
  }

  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Refusal{position_of(mark), cat("a tag (", tag, ")"),
                    "tags are not read here; remove it"};
    }
  }

  static void resolve_plain(YamlNode& node) {
    bool integral = false;
    if (node.text == "true" || node.text == "false") {
      node.kind = YamlNode::Kind::boolean;
    } else if (is_json_number(node.text, integral)) {
      double value = 0;
      const char* end = node.text.data() + node.text.size();
      std::int64_t whole = 0;
      if (integral && std::from_chars(node.text.data(), end, whole).ec == std::errc{}) {
        node.kind = YamlNode::Kind::integer;
      } else if (std::from_chars(node.text.data(), end, value).ec == std::errc{}) {
        node.kind = YamlNode::Kind::number;
      } else {
        throw Refusal{node.at, cat("the number ", node.text, " is out of range"),
                      "quote it if it is meant as text"};
      }
    }
  }

  void count(Position at) {
    if (++nodes_ > limits_.max_nodes) {
      throw Refusal{at, cat("more than ", limits_.max_nodes, " values"), "split the pipeline"};
    }
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    const Position at = position_of(mark);
    count(at);
    if (static_cast<int>(stack_.size()) >= limits_.max_depth) {
      throw Refusal{at, cat("nested deeper than ", limits_.max_depth, " levels"), ""};
    }
    if (!stack_.empty() && stack_.back().node.kind == YamlNode::Kind::map &&
        !stack_.back().has_key) {
      throw Refusal{at, "a key that is a list or a map", "keys are plain words"};
    }
    Open opened;
    opened.node.kind = kind;
    opened.node.at = at;
    stack_.push_back(std::move(opened));
  }

  void close() {
    YamlNode node = std::move(stack_.back().node);
    stack_.pop_back();
    add_value(std::move(node));
  }

  void add_scalar(YamlNode node) {
    count(node.at);
    if (!stack_.empty() && stack_.back().node.kind == YamlNode::Kind::map &&
        !stack_.back().has_key) {
      add_key(node);
    } else {
      add_value(std::move(node));
    }
  }

  void add_key(const YamlNode& node) {
    Open& map = stack_.back();
    if (node.text == "<<") {
      throw Refusal{node.at, "a merge key (<<)",
                    "merging is not part of pipeline YAML; write the keys out"};
    }
    if (node.kind == YamlNode::Kind::null || node.text.empty()) {
      throw Refusal{node.at, "an empty key", "keys are plain words"};
    }
    if (const YamlMember* first = map.node.find(node.text)) {
      throw Refusal{node.at,
                    cat("the key '", node.text, "' appears twice; it was first given in line ",
                        first->at.line),
                    "remove one of them"};
    }
    map.key = node.text;
    map.key_at = node.at;
    map.has_key = true;
  }

  void add_value(YamlNode node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == YamlNode::Kind::list) {
      parent.node.items.push_back(std::move(node));
    } else {
      parent.node.members.push_back({std::move(parent.key), parent.key_at, std::move(node)});
      parent.has_key = false;
    }
  }

  const YamlLimits& limits_;
  std::vector<std::string_view> lines_;
  std::vector<Open> stack_;
  YamlNode root_;
  std::size_t nodes_ = 0;
  int documents_ = 0;
};

Error refused(std::string_view file, Position at, std::string message, std::string hint) {
  return make_error(ErrorCode::format, std::move(message), place(file, at), std::move(hint));
}

std::string hint_for(std::string_view text, Position at) {
  const std::size_t wanted = static_cast<std::size_t>(std::max(at.line, 1));
  std::size_t start = 0;
  for (std::size_t line = 1; line < wanted; ++line) {
    const std::size_t end = text.find('\n', start);
    if (end == std::string_view::npos) return "check quotes and brackets above";
    start = end + 1;
  }
  const std::string_view line = text.substr(start, text.find('\n', start) - start);
  const std::size_t word = line.find_first_not_of(" \t");
  if (word != std::string_view::npos && line.substr(0, word).find('\t') != std::string_view::npos) {
    return "YAML is indented with spaces, not with tabs";
  }
  return "check the indentation, and quote texts that hold ': ', '#', '{' or '['";
}

}  // namespace

std::string_view YamlNode::kind_name() const {
  switch (kind) {
    case Kind::null:
      return "empty";
    case Kind::boolean:
      return "a boolean";
    case Kind::integer:
      return "an integer";
    case Kind::number:
      return "a number";
    case Kind::text:
      return "a text";
    case Kind::list:
      return "a list";
    case Kind::map:
      return "a map";
  }
  return "a value";
}

const YamlMember* YamlNode::find(std::string_view key) const {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const YamlMember& member) { return member.key == key; });
  return found == members.end() ? nullptr : &*found;
}

Json YamlNode::to_json() const {
  const char* begin = text.data();
  const char* end = begin + text.size();
  switch (kind) {
    case Kind::null:
      return {};
    case Kind::boolean:
      return text == "true";
    case Kind::integer: {
      std::int64_t value = 0;
      std::from_chars(begin, end, value);
      return value;
    }
    case Kind::number: {
      double value = 0;
      std::from_chars(begin, end, value);
      return value;
    }
    case Kind::text:
      return text;
    case Kind::list: {
      Json list = Json::array();
      for (const YamlNode& item : items) list.push_back(item.to_json());
      return list;
    }
    case Kind::map: {
      Json map = Json::object();
      for (const YamlMember& member : members) map.set(member.key, member.value.to_json());
      return map;
    }
  }
  return {};
}

Result<YamlNode> parse_yaml(std::string_view text, std::string_view file,
                            const YamlLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return refused(file, {},
                   cat("has ", text.size(), " bytes; at most ", limits.max_bytes, " are read"),
                   "is this the right file?");
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (const std::size_t bad = first_bad_byte(text); bad != std::string_view::npos) {
    const auto byte = static_cast<unsigned char>(text[bad]);
    return refused(file, position_at(text, bad),
                   byte < 0x80 ? "a control character" : "a byte that is not UTF-8",
                   "YAML is UTF-8 text");
  }
  Builder builder(text, limits);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    if (builder.empty()) {
      return refused(file, {1, 1}, "the file is empty",
                     "a pipeline begins with 'apiVersion: apr.dev/v1'");
    }
    return builder.take();
  } catch (const Refusal& refusal) {
    return refused(file, refusal.at, refusal.message, refusal.hint);
  } catch (const YAML::Exception& exception) {
    // At the end of the file yaml-cpp knows no place; what is open does.
    if (exception.msg == YAML::ErrorMsg::END_OF_SEQ_FLOW ||
        exception.msg == YAML::ErrorMsg::END_OF_MAP_FLOW) {
      const bool list = exception.msg == YAML::ErrorMsg::END_OF_SEQ_FLOW;
      return refused(file, builder.open_at(),
                     cat("not valid YAML: the ", list ? "'['" : "'{'", " here is not closed"),
                     "check quotes, brackets and commas from here on");
    }
    const Position at = exception.mark.is_null() ? Position{1, 1} : position_of(exception.mark);
    return refused(file, at, cat("not valid YAML: ", exception.msg), hint_for(text, at));
  } catch (const std::exception& exception) {
    return refused(file, {}, cat("the YAML reader failed: ", exception.what()), "");
  }
}

}  // namespace apr::pipeline
