// From text to expression.
#include <algorithm>
#include <charconv>
#include <map>

#include "core/base/cat.h"
#include "orchestrator/pipeline/expression.h"

namespace apr::pipeline {
namespace {

constexpr std::size_t kMaxLength = 2000;
constexpr int kMaxDepth = 32;

bool is_digit(char character) {
  return character >= '0' && character <= '9';
}

bool is_word(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         is_digit(character) || character == '_' || character == '-';
}

}  // namespace

/// Recursive descent, one function per level of binding; depth is counted.
class Expression::Parser {
 public:
  Parser(std::string_view text, Expression& expression, Problem& problem)
      : text_(text), expression_(expression), problem_(problem) {}

  bool run() {
    if (text_.size() > kMaxLength) {
      return fail(0, cat("an expression of more than ", kMaxLength, " characters"), "");
    }
    expression_.root_ = coalesce();
    if (expression_.root_ < 0) return false;
    skip_spaces();
    if (at_ == text_.size()) return true;
    if (text_[at_] == '=' && !text_.substr(at_).starts_with("==")) {
      return fail(at_, "a single '='", "compare with '=='");
    }
    return fail(at_, cat("'", text_.substr(at_, 1), "' was not expected here"),
                "the operators are ?? || && == != < <= > >= !");
  }

 private:
  bool fail(std::size_t offset, std::string message, std::string hint) {
    if (!failed_) problem_ = {offset, std::move(message), std::move(hint)};
    failed_ = true;
    return false;
  }
  int failed(std::size_t offset, std::string message, std::string hint = {}) {
    fail(offset, std::move(message), std::move(hint));
    return -1;
  }

  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) {
      ++at_;
    }
  }
  bool take(std::string_view token) {
    skip_spaces();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  int add(Node node) {
    expression_.nodes_.push_back(std::move(node));
    return static_cast<int>(expression_.nodes_.size()) - 1;
  }
  int binary(Operator op, int left, int right, std::size_t offset) {
    Node node;
    node.op = op;
    node.left = left;
    node.right = right;
    node.offset = offset;
    return add(std::move(node));
  }

  int chain(std::string_view token, Operator op, int (Parser::*next)()) {
    int left = (this->*next)();
    while (left >= 0) {
      skip_spaces();
      const std::size_t offset = at_;
      if (!take(token)) return left;
      const int right = (this->*next)();
      if (right < 0) return -1;
      left = binary(op, left, right, offset);
    }
    return left;
  }

  int coalesce() { return chain("??", Operator::coalesce, &Parser::either); }
  int either() { return chain("||", Operator::either, &Parser::both); }
  int both() { return chain("&&", Operator::both, &Parser::equality); }

  int equality() {
    int left = ordering();
    while (left >= 0) {
      skip_spaces();
      const std::size_t offset = at_;
      Operator op = Operator::equal;
      if (take("!=")) {
        op = Operator::unequal;
      } else if (!take("==")) {
        return left;
      }
      const int right = ordering();
      if (right < 0) return -1;
      left = binary(op, left, right, offset);
    }
    return left;
  }

  int ordering() {
    const int left = unary();
    if (left < 0) return -1;
    skip_spaces();
    const std::size_t offset = at_;
    Operator op = Operator::less;
    if (take("<=")) {
      op = Operator::less_equal;
    } else if (take(">=")) {
      op = Operator::greater_equal;
    } else if (take(">")) {
      op = Operator::greater;
    } else if (!take("<")) {
      return left;
    }
    const int right = unary();
    return right < 0 ? -1 : binary(op, left, right, offset);
  }

  int unary() {
    skip_spaces();
    const std::size_t offset = at_;
    if (++depth_ > kMaxDepth) return failed(offset, "an expression nested too deeply");
    int result = -1;
    if (at_ < text_.size() && text_[at_] == '!' && !text_.substr(at_).starts_with("!=")) {
      ++at_;
      const int operand = unary();
      if (operand >= 0) result = binary(Operator::negate, operand, -1, offset);
    } else {
      result = primary();
    }
    --depth_;
    return result;
  }

  int primary() {
    skip_spaces();
    const std::size_t offset = at_;
    if (at_ == text_.size()) {
      return failed(offset, "the expression ends where a value was expected");
    }
    const char first = text_[at_];
    if (first == '(') {
      ++at_;
      const int inner = coalesce();
      if (inner < 0) return -1;
      if (!take(")")) return failed(at_, "a ')' is missing");
      return inner;
    }
    if (first == '\'' || first == '"') return quoted(first);
    if (is_digit(first) || first == '-') return number();
    if (is_word(first)) return word();
    return failed(offset, cat("'", text_.substr(at_, 1), "' where a value was expected"),
                  "values are params.x, stages.x.output, literals and ( )");
  }

  int literal(Json value, std::size_t offset) {
    Node node;
    node.literal = std::move(value);
    node.offset = offset;
    return add(std::move(node));
  }

  int quoted(char quote) {
    const std::size_t offset = at_;
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) return failed(offset, "a quoted text without its end");
    at_ = end + 1;
    return literal(text_.substr(offset + 1, end - offset - 1), offset);
  }

  int number() {
    const std::size_t offset = at_;
    std::size_t end = at_ + 1;
    while (end < text_.size() &&
           (is_digit(text_[end]) || text_[end] == '.' || text_[end] == 'e' || text_[end] == 'E' ||
            ((text_[end] == '-' || text_[end] == '+') &&
             (text_[end - 1] == 'e' || text_[end - 1] == 'E')))) {
      ++end;
    }
    const char* begin = text_.data() + offset;
    const char* last = text_.data() + end;
    std::int64_t whole = 0;
    double value = 0;
    at_ = end;
    if (const auto read = std::from_chars(begin, last, whole);
        read.ec == std::errc{} && read.ptr == last) {
      return literal(whole, offset);
    }
    if (const auto read = std::from_chars(begin, last, value);
        read.ec == std::errc{} && read.ptr == last) {
      return literal(value, offset);
    }
    return failed(offset, cat("'", text_.substr(offset, end - offset), "' is not a number"));
  }

  std::string take_word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  int word() {
    const std::size_t offset = at_;
    const std::string head = take_word();
    if (head == "true") return literal(true, offset);
    if (head == "false") return literal(false, offset);
    if (head == "null") return literal(nullptr, offset);
    static constexpr std::string_view kHeads[] = {"params", "stages", "matrix", "env", "secrets"};
    if (std::find(std::begin(kHeads), std::end(kHeads), head) == std::end(kHeads)) {
      return failed(offset, cat("'", head, "' is not a value"),
                    "write params.NAME or stages.NAME.OUTPUT, or quote a text: 'word'");
    }
    std::vector<std::string> keys;
    std::vector<Selector> select;
    while (at_ < text_.size() && (text_[at_] == '.' || text_[at_] == '[')) {
      if (text_[at_] == '[') {
        if (head != "stages" || keys.size() != 1 || !select.empty()) {
          return failed(at_, "brackets stand after a stage's name only",
                        "stages.NAME[VALUE].OUTPUT");
        }
        if (!brackets(select)) return -1;
        continue;
      }
      ++at_;
      const std::size_t begin = at_;
      std::string key = take_word();
      if (key.empty()) return failed(begin, cat("a name is missing after '", head, ".'"));
      keys.push_back(std::move(key));
    }
    return reference(head, std::move(keys), std::move(select), offset);
  }

  /// `[q4_0]`, `[matrix.scheme, *]`.
  bool brackets(std::vector<Selector>& select) {
    const auto is_label = [](char c) { return is_word(c) || c == '.' || c == '+' || c == '#'; };
    do {
      ++at_;
      skip_spaces();
      const std::size_t begin = at_;
      if (take("*")) {
        select.push_back({Selector::Kind::all, "*"});
      } else if (at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) {
        const std::size_t end = text_.find(text_[at_], at_ + 1);
        if (end == std::string_view::npos)
          return fail(begin, "a quoted text has no end", "stages.NAME['VALUE'].OUTPUT");
        select.push_back(
            {Selector::Kind::value, std::string(text_.substr(at_ + 1, end - at_ - 1))});
        at_ = end + 1;
      } else {
        while (at_ < text_.size() && is_label(text_[at_])) ++at_;
        std::string word(text_.substr(begin, at_ - begin));
        if (word.empty()) {
          return fail(begin, "a value of the matrix is missing between the brackets",
                      "write a value, matrix.AXIS, or * for all");
        }
        const bool own = word.starts_with("matrix.");
        select.push_back({own ? Selector::Kind::axis : Selector::Kind::label,
                          own ? word.substr(7) : std::move(word)});
      }
      skip_spaces();
    } while (at_ < text_.size() && text_[at_] == ',');
    if (take("]")) return true;
    return fail(at_, "a ']' is missing", "stages.NAME[VALUE].OUTPUT");
  }

  int reference(const std::string& head, std::vector<std::string> keys,
                std::vector<Selector> select, std::size_t offset) {
    Node node;
    node.op = Operator::reference;
    node.offset = offset;
    Reference& made = node.reference;
    made.offset = offset;
    if (head != "stages") {
      if (keys.size() != 1) {
        static const std::map<std::string, std::string_view> kHow = {
            {"params", "a parameter is written params.NAME"},
            {"matrix", "a value of the matrix is written matrix.AXIS"},
            {"env", "an environment variable is written env.NAME"},
            {"secrets", "a secret is written secrets.NAME"}};
        return failed(offset, std::string(kHow.at(head)));
      }
      made.name = keys[0];
      if (head == "matrix") made.kind = Reference::Kind::matrix;
      if (head == "env") made.kind = Reference::Kind::environment;
      if (head == "secrets") made.kind = Reference::Kind::secret;
      return add(std::move(node));
    }
    if (keys.size() < 2) {
      return failed(offset,
                    "what a stage gives is written stages.NAME.OUTPUT or "
                    "stages.NAME.report.KEY");
    }
    made.name = keys[0];
    made.select = std::move(select);
    if (keys[1] == "report") {
      made.kind = Reference::Kind::report;
      made.path.assign(keys.begin() + 2, keys.end());
      if (made.path.empty()) {
        return failed(offset, "a figure of a report is written stages.NAME.report.KEY");
      }
    } else {
      if (keys.size() != 2) return failed(offset, "an output is written stages.NAME.OUTPUT");
      made.kind = Reference::Kind::output;
      made.port = keys[1];
    }
    return add(std::move(node));
  }

  std::string_view text_;
  Expression& expression_;
  Problem& problem_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
};

std::optional<Expression> Expression::parse(std::string_view text, Problem& problem) {
  Expression expression;
  if (!Parser(text, expression, problem).run()) return std::nullopt;
  return expression;
}

}  // namespace apr::pipeline
