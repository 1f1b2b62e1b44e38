#include "core/formats/apr/classical.h"

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/base/hash.h"
#include "core/formats/apr/layout.h"
#include "core/formats/bytes.h"

namespace apr {

namespace {

constexpr std::size_t kHeaderBytes = 32;
constexpr std::size_t kSignatureBytes = 96;
constexpr std::uint8_t kEncryptedFlag = 0x01;
constexpr std::uint8_t kSignedFlag = 0x02;

std::string_view model_type_name(std::uint16_t id) {
  switch (id) {
    case 0x01:
      return "LinearRegression";
    case 0x02:
      return "LogisticRegression";
    case 0x03:
      return "DecisionTree";
    case 0x04:
      return "RandomForest";
    case 0x05:
      return "GradientBoosting";
    case 0x06:
      return "KMeans";
    case 0x07:
      return "Pca";
    case 0x08:
      return "NaiveBayes";
    case 0x09:
      return "Knn";
    case 0x0A:
      return "Svm";
    case 0x10:
      return "NgramLm";
    case 0x11:
      return "Tfidf";
    case 0x12:
      return "CountVectorizer";
    case 0x20:
      return "NeuralSequential";
    case 0x21:
      return "NeuralCustom";
    case 0x30:
      return "ContentRecommender";
    case 0x40:
      return "MixtureOfExperts";
    case 0xFF:
      return "Custom";
    default:
      return "unknown";
  }
}

std::string_view compression_name(std::uint8_t id) {
  switch (id) {
    case 0:
      return "none";
    case 1:
      return "zstd";
    case 2:
      return "zstd-max";
    case 3:
      return "lz4";
    default:
      return "unknown";
  }
}

}  // namespace

bool is_classical_apr(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && as_text(bytes.first(4)) == apr_layout::kClassicalMagic;
}

Result<ClassicalHeader> read_classical_header(std::span<const std::byte> bytes,
                                              std::string_view file) {
  const auto bad = [&](std::string message) {
    return make_error(ErrorCode::format, std::move(message), std::string(file));
  };
  if (!is_classical_apr(bytes)) return bad("is not an .apr v1 file (its magic is not APRN)");
  if (bytes.size() < kHeaderBytes + apr_layout::kFooterBytes) {
    return bad(cat("an .apr v1 file has at least 36 bytes, this one has ", bytes.size()));
  }
  ClassicalHeader header;
  header.major = load_number<std::uint8_t>(bytes, 4);
  header.minor = load_number<std::uint8_t>(bytes, 5);
  header.model_type = load_number<std::uint16_t>(bytes, 6);
  header.model_type_name = model_type_name(header.model_type);
  header.metadata_size = load_number<std::uint32_t>(bytes, 8);
  header.payload_size = load_number<std::uint32_t>(bytes, 12);
  header.uncompressed_size = load_number<std::uint32_t>(bytes, 16);
  header.compression = load_number<std::uint8_t>(bytes, 20);
  header.compression_name = compression_name(header.compression);
  const auto flags = load_number<std::uint8_t>(bytes, 21);
  header.is_encrypted = (flags & kEncryptedFlag) != 0;
  header.is_signed = (flags & kSignedFlag) != 0;
  header.quality = load_number<std::uint8_t>(bytes, 22);
  if (header.major > 1)
    return bad(cat("is .apr v1 container version ", header.major, "; 1 is the last known"));
  const std::uint64_t needed = kHeaderBytes + std::uint64_t{header.metadata_size} +
                               header.payload_size + (header.is_signed ? kSignatureBytes : 0) +
                               apr_layout::kFooterBytes;
  if (needed > bytes.size()) {
    return bad(cat("the header announces ", needed, " bytes and the file has ", bytes.size()));
  }
  const std::size_t body = bytes.size() - apr_layout::kFooterBytes;
  header.crc_matches = crc32(bytes.first(body)) == load_number<std::uint32_t>(bytes, body);
  return header;
}

}  // namespace apr
