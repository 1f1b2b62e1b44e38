// JSON: any text is read or refused; what is read survives being written and read again.
#include <cstdint>
#include <cstdlib>

#include "core/base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool last_wins : {false, true}) {
    apr::JsonLimits limits;
    limits.max_depth = 16;
    limits.max_values = 10'000;
    limits.last_duplicate_wins = last_wins;
    const auto json = apr::parse_json(text, "fuzz.json", limits);
    if (!json) {
      if (json.error().message.empty() || json.error().context.empty()) std::abort();
      continue;
    }
    for (const int indent : {-1, 2}) {
      const auto again = apr::parse_json(json->dump(indent), "again.json", limits);
      if (!again || !(*again == *json)) std::abort();
    }
  }
  return 0;
}
