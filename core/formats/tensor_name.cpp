#include "core/formats/tensor_name.h"

#include "core/base/utf8_sequence.h"

namespace apr {

namespace {
bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}
}  // namespace

std::string_view tensor_name_problem(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > kMaxTensorName) return "is longer than 256 bytes";
  while (!name.empty()) {
    const std::size_t length = utf8_sequence(name);
    if (length == 0) return "is not valid UTF-8";
    if (is_control(name[0])) return "contains a control character";
    name.remove_prefix(length);
  }
  return {};
}

std::string printable_name(std::string_view name) {
  constexpr std::size_t kMost = 80;
  const bool cut = name.size() > kMost;
  name = name.substr(0, kMost);
  std::string shown;
  while (!name.empty()) {
    const std::size_t length = utf8_sequence(name);
    if (length == 0 || is_control(name[0])) {
      shown.push_back('?');
      name.remove_prefix(1);
    } else {
      shown.append(name.substr(0, length));
      name.remove_prefix(length);
    }
  }
  return cut ? shown + "…" : shown;
}

}  // namespace apr
