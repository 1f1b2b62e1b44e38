#include "orchestrator/stages/compare_texts.h"

#include <algorithm>
#include <array>

#include "core/base/cat.h"
#include "core/runtime/model.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"

namespace apr {

namespace {

bool same_value(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) {
    return a.is_integer() && b.is_integer() ? a.as_integer() == b.as_integer()
                                            : a.as_number() == b.as_number();
  }
  if (a.is_array() && b.is_array()) {
    return std::ranges::equal(a.as_array(), b.as_array(), same_value);
  }
  if (a.is_object() && b.is_object()) return compare_fields(a, b).empty();
  return a == b;
}

/// As deep as the values, which parse_json() limited.
void compare(const std::string& prefix, const Json& a, const Json& b,
             std::vector<FieldDifference>& found) {
  const auto visit = [&](const std::string& key) {
    const Json& x = a[key];
    const Json& y = b[key];
    if (x.is_object() && y.is_object()) {
      compare(cat(prefix, key, "."), x, y, found);
    } else if (!same_value(x, y)) {
      found.push_back({prefix + key, x, y});
    }
  };
  for (const auto& [key, value] : a.as_object()) visit(key);
  for (const auto& [key, value] : b.as_object()) {
    if (!a.contains(key)) visit(key);
  }
}

std::string ids_text(const std::vector<TokenId>& ids, std::size_t from) {
  std::string text;
  for (std::size_t i = from; i < ids.size() && i < from + 4; ++i) {
    text += cat(text.empty() ? "" : " ", ids[i]);
  }
  return text.empty() ? std::string("nothing") : text;
}

std::string optional_id(const std::optional<TokenId>& id) {
  return id ? cat(*id) : std::string("none");
}

class TokenizerComparer {
 public:
  TokenizerComparer(const Tokenizer& a, const Tokenizer& b) : a_(a), b_(b) {}

  TokenizerDifference run() {
    compare_vocabularies();
    if (a_.bos() != b_.bos()) {
      problem(cat("the id that begins a text is ", optional_id(a_.bos()), " and ",
                  optional_id(b_.bos())));
    }
    if (a_.eos() != b_.eos()) {
      problem(cat("the id that ends a text is ", optional_id(a_.eos()), " and ",
                  optional_id(b_.eos())));
    }
    for (const std::string& text : tokenizer_test_texts()) {
      ++found_.texts;
      compare_text(text);
    }
    if (found_.texts_differ == 0) compare_text(special_tokens_text(a_));
    return std::move(found_);
  }

 private:
  void problem(std::string text) { found_.problems.push_back(std::move(text)); }

  void compare_vocabularies() {
    if (a_.vocab_size() != b_.vocab_size()) {
      problem(cat("there are ", a_.vocab_size(), " and ", b_.vocab_size(), " ids"));
    }
    const std::uint32_t common = std::min(a_.vocab_size(), b_.vocab_size());
    std::uint32_t different = 0;
    std::string first;
    for (std::uint32_t i = 0; i < common; ++i) {
      const auto id = static_cast<TokenId>(i);
      const bool same = a_.token(id) == b_.token(id) && a_.is_special(id) == b_.is_special(id);
      if (same) continue;
      if (different++ > 0) continue;
      first = a_.token(id) == b_.token(id)
                  ? cat("id ", id, " ('", a_.token(id), "') is special in one of them only")
                  : cat("id ", id, " is '", a_.token(id), "' and '", b_.token(id), "'");
    }
    if (different == 0) return;
    problem(different == 1 ? first : cat(first, " (and ", different - 1, " more)"));
  }

  static std::string what(const std::string& text) {
    constexpr std::size_t kLong = 200;
    return text.size() > kLong ? cat(short_value(Json(text)), " and so on") : Json(text).dump();
  }

  void compare_text(const std::string& text) {
    for (const bool parse_special : {false, true}) {
      const Tokenizer::EncodeOptions options{.add_special = true, .parse_special = parse_special};
      const auto x = a_.encode(text, options);
      const auto y = b_.encode(text, options);
      if (x && y && *x == *y) continue;
      if (!x && !y) continue;  // neither can
      ++found_.texts_differ;
      if (found_.texts_differ > 3) return;  // three examples are enough to see what it is
      if (!x || !y) {
        problem(cat(what(text), " is refused by one of them: ", (x ? y : x).error().message));
      } else {
        const std::size_t at =
            static_cast<std::size_t>(std::ranges::mismatch(*x, *y).in1 - x->begin());
        problem(cat(what(text), " becomes ", ids_text(*x, at), " and ", ids_text(*y, at),
                    " from token ", at, parse_special ? ", special tokens recognised" : ""));
      }
      return;
    }
  }

  const Tokenizer& a_;
  const Tokenizer& b_;
  TokenizerDifference found_;
};

}  // namespace

std::vector<FieldDifference> compare_fields(const Json& a, const Json& b) {
  std::vector<FieldDifference> found;
  compare("", a, b, found);
  return found;
}

bool describes_only(std::string_view config_field) {
  constexpr std::array<std::string_view, 5> kNames = {"_name_or_path", "transformers_version",
                                                      "torch_dtype", "dtype", "_commit_hash"};
  return std::ranges::find(kNames, config_field) != kNames.end();
}

std::vector<std::string> tokenizer_test_texts() {
  using namespace std::string_literals;
  return {"Hello, world!",
          "The quick brown fox jumps over the lazy dog.",
          "it's they're I'd WE'LL Don'T",
          " leading, trailing ",
          "two  three   four    spaces",
          "\n\n\tindent\n\r\nwindows\r\n",
          "12345678901234567890 3.14159 1,000,000 0x1F 2+2=4",
          "def f(x):\n    return {'a': [1, 2], \"b\": x ** 2}  # comment\n",
          "https://example.org/a?b=c&d=%20#e user@example.org",
          "Straße, naïve, façade, Ångström, Œuvre, ﬁne",
          "e\xCC\x81 \xC3\xA9 o\xCC\x88\xCC\x84 a\xCC\x8A",
          "Ελληνικά Русский Українська עברית العربية हिन्दी বাংলা ไทย",
          "日本語の文章です。漢字とカタカナ 中文，没有空格 한국어 띄어쓰기",
          "🙂👍🏽👨‍👩‍👧‍👦🇩🇪 ✂️ ①②③",
          "½ ² Ⅷ ٣٤٥ १२३ 𝟘𝟙",
          "\xE2\x80\x8Bzero\xE2\x80\x8Dwidth\xEF\xBB\xBF \xC2\xA0nbsp\xE3\x80\x80wide",
          "\x01\x02\x1b[31mred\x7f"s,
          "nul\0byte"s,
          "\xff\xfe broken \xc3( \xe2\x82"s,
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "................----------------================________",
          "CamelCase snake_case kebab-case SCREAMING_CASE x86_64",
          "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>",
          "<s>[INST] Hi [/INST]</s><unk><pad>[CLS][SEP][MASK]<|startoftranscript|>",
          ""};
}

std::string special_tokens_text(const Tokenizer& tokenizer) {
  constexpr std::size_t kMost = 256;
  std::string text;
  std::size_t used = 0;
  for (std::uint32_t i = 0; i < tokenizer.vocab_size() && used < kMost; ++i) {
    const auto id = static_cast<TokenId>(i);
    if (!tokenizer.is_special(id)) continue;
    const std::string_view token = tokenizer.token(id);
    text += cat(token, token, "a", token, "b  ", token, "  c\n", token, "\n");
    ++used;
  }
  return text;
}

TokenizerDifference compare_tokenizers(const Tokenizer& a, const Tokenizer& b) {
  return TokenizerComparer(a, b).run();
}

Result<TokenizerDifference> compare_tokenizers(const Package& a, const Package& b) {
  TokenizerDifference found;
  const bool in_a = has_tokenizer(a);
  const bool in_b = has_tokenizer(b);
  if (!in_a && !in_b) return found;
  if (in_a != in_b) {
    found.problems.push_back(cat("only ", in_a ? a.path() : b.path(), " carries a tokenizer"));
    return found;
  }
  APR_ASSIGN(const Tokenizer x, tokenizer_of(a));
  APR_ASSIGN(const Tokenizer y, tokenizer_of(b));
  return compare_tokenizers(x, y);
}

std::string template_source(const Package& package) {
  if (const std::string* text = package.file("chat_template.jinja")) return *text;
  if (const std::string* file = package.file("tokenizer_config.json")) {
    const auto json = parse_json(*file, "tokenizer_config.json");
    if (json && json->contains("chat_template")) {
      const Json& text = (*json)["chat_template"];
      return text.is_string() ? text.as_string() : text.dump();
    }
  }
  return package.metadata()["chat_template"].as_string();
}

std::string short_value(const Json& value) {
  return value.is_null() ? "absent" : shortened(printable(value.dump()), 40);
}

}  // namespace apr
