// Token ids to the text of an answer, as it streams: characters come whole, nothing is lost or
// changed, and the text ends before a stop string. The first line of the input holds the stop
// strings, with 0x1F between them; two bytes of the rest are an id.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/platform/file.h"
#include "core/runtime/stop_scanner.h"
#include "core/text/tokenizer.h"
#include "core/text/utf8.h"

namespace {

using namespace apr;

void require(bool holds) {
  if (!holds) std::abort();
}

const Tokenizer& tokenizer() {
  static const auto made = [] {
    const auto json = read_file(APR_SOURCE_DIR "/golden/apr-tiny-chat/tokenizer.json", 64u << 20);
    require(json.ok());
    return Tokenizer::from_tokenizer_json(*json, "tokenizer.json");
  }();
  require(made.ok());
  return *made;
}

std::vector<std::string> stops_of(std::string_view line) {
  std::vector<std::string> stops;
  while (!line.empty() && stops.size() < 8) {
    const std::string_view one = line.substr(0, line.find('\x1f'));
    if (!one.empty()) stops.emplace_back(one);
    line.remove_prefix(one.size());
    if (!line.empty()) line.remove_prefix(1);
  }
  return stops;
}

bool cuts_a_character(std::string_view text, std::size_t at) {
  for (std::size_t before = 1; before <= 3 && before <= at; ++before) {
    const Utf8Character found = utf8_at(text, at - before);
    if (found.code != kInvalidCharacter && found.size > before) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t newline = bytes.find('\n');
  const bool has_stops = newline != bytes.npos;
  const std::vector<std::string> stops =
      has_stops ? stops_of(bytes.substr(0, newline)) : std::vector<std::string>();
  const std::string_view pairs = has_stops ? bytes.substr(newline + 1) : bytes;

  std::vector<TokenId> ids;
  std::string all;                // what the ids say
  std::string joined;             // in whole characters
  std::string out;                // up to a stop string
  std::vector<std::size_t> ends;  // of the pieces of `joined`
  Utf8Joiner characters;
  StopScanner scanner(stops);
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
    const auto high = static_cast<unsigned char>(pairs[i]);
    const auto low = static_cast<unsigned char>(pairs[i + 1]);
    ids.push_back(static_cast<TokenId>((high << 8 | low) % tokenizer().vocab_size()));
    const std::string piece = tokenizer().piece(ids.back(), true);
    all += piece;
    const std::string whole = characters.push(piece);
    joined += whole;
    ends.push_back(joined.size());
    out += scanner.push(whole);
    require(joined.starts_with(out));
    if (scanner.found()) break;
  }
  const auto decoded = tokenizer().decode(ids, true);
  require(decoded.ok() && *decoded == all);
  const bool found = scanner.found();
  if (!found) {
    const std::string rest = characters.finish();
    joined += rest;
    require(joined == all);
    out += scanner.push(rest);
    out += scanner.finish();
  }
  for (const std::size_t end : ends) require(!cuts_a_character(all, end));
  bool ends_at_stop = false;
  for (const std::string& stop : stops) {
    require(out.find(stop) == out.npos);
    ends_at_stop = ends_at_stop || std::string_view(joined).substr(out.size()).starts_with(stop);
  }
  require(scanner.found() ? ends_at_stop && joined.starts_with(out) : out == all);
  return 0;
}
