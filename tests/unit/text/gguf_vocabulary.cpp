#include "gguf_vocabulary.h"

#include <cstring>
#include <stdexcept>

namespace apr::test {

namespace {

class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}
  template <typename Number>
  Number number() {
    Number value;
    if (bytes_.size() - at_ < sizeof value) throw std::runtime_error("GGUF file is cut");
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string text() {
    const auto size = number<std::uint64_t>();
    if (size > bytes_.size() - at_) throw std::runtime_error("GGUF string is cut");
    std::string value = bytes_.substr(at_, size);
    at_ += size;
    return value;
  }
  double value(std::uint32_t type) {
    switch (type) {
      case 0:
        return number<std::uint8_t>();
      case 1:
        return number<std::int8_t>();
      case 2:
        return number<std::uint16_t>();
      case 3:
        return number<std::int16_t>();
      case 4:
        return number<std::uint32_t>();
      case 5:
        return number<std::int32_t>();
      case 6:
        return static_cast<double>(number<float>());
      case 7:
        return number<std::uint8_t>();
      case 10:
        return static_cast<double>(number<std::uint64_t>());
      case 11:
        return static_cast<double>(number<std::int64_t>());
      case 12:
        return number<double>();
      default:
        throw std::runtime_error("unknown GGUF type");
    }
  }

 private:
  const std::string& bytes_;
  std::size_t at_ = 0;
};

constexpr std::uint32_t kString = 8;
constexpr std::uint32_t kArray = 9;

}  // namespace

GgufVocabulary read_gguf_vocabulary(const std::string& bytes) {
  Reader reader(bytes);
  if (reader.number<std::uint32_t>() != 0x46554747) throw std::runtime_error("not a GGUF file");
  reader.number<std::uint32_t>();  // version
  reader.number<std::uint64_t>();  // tensors
  const auto count = reader.number<std::uint64_t>();
  GgufVocabulary vocabulary;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string key = reader.text();
    auto type = reader.number<std::uint32_t>();
    if (type == kString) {
      vocabulary.texts[key] = reader.text();
    } else if (type == kArray) {
      type = reader.number<std::uint32_t>();
      const auto size = reader.number<std::uint64_t>();
      for (std::uint64_t k = 0; k < size; ++k) {
        if (type == kString) {
          vocabulary.lists[key].push_back(reader.text());
        } else {
          vocabulary.numbers[key].push_back(reader.value(type));
        }
      }
    } else {
      vocabulary.numbers[key] = {reader.value(type)};
    }
  }
  return vocabulary;
}

}  // namespace apr::test
