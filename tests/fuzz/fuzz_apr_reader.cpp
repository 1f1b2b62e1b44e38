// .apr: any bytes open as a package whose tensors lie inside them, or give an error; verification
// and the decoders of our sections accept anything.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/base/hash.h"
#include "core/formats/apr/classical.h"
#include "core/formats/apr/digests.h"
#include "core/formats/apr/layout.h"
#include "core/formats/bytes.h"
#include "core/package/apr_image.h"
#include "core/package/lineage.h"

using namespace apr;

namespace {

void check_package(std::span<const std::byte> bytes) {
  const auto package = open_apr_image(bytes, "fuzz.apr", {});
  if (!package) {
    if (package.error().message.empty()) std::abort();
    return;
  }
  for (const TensorEntry& entry : package->tensors()) {
    const auto needed = storage_bytes(entry.view.type, entry.view.shape);
    if (!needed || *needed != entry.view.data.size()) std::abort();
    if (entry.view.data.empty()) continue;
    if (entry.view.data.data() < bytes.data() ||
        entry.view.data.data() + entry.view.data.size() > bytes.data() + bytes.size()) {
      std::abort();
    }
  }
}

void check_table(std::span<const std::byte> bytes) {
  const auto table = read_apr_table(bytes, "fuzz.apr");
  if (!table) return;
  static_cast<void>(verify_apr_image(bytes, *table, {}));
  // Sections are decoded even when the digests say they are stale.
  for (const AprSection& section : table->sections.directory) {
    const auto content = bytes.subspan(section.offset, section.size);
    static_cast<void>(decode_apr_files(content).ok());
    static_cast<void>(decode_lineage(as_text(content)).ok());
    static_cast<void>(AprDigests::decode(content, table->tensors.size()).ok());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  check_package(bytes);
  check_table(bytes);
  static_cast<void>(read_classical_header(bytes, "fuzz.apr").ok());
  if (const auto files = decode_apr_files(bytes)) {
    if (encode_apr_files(*files) != std::vector(bytes.begin(), bytes.end())) std::abort();
  }
  return 0;
}

#if defined(APR_LIBFUZZER)
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

/// Most mutants get a right header checksum, or nothing behind it would ever be reached.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (size < apr_layout::kHeaderBytes || seed % 8 == 0) return size;
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  const std::uint32_t crc = crc32(bytes.subspan(apr_layout::kAtHeaderCrc + 4, 20),
                                  crc32(bytes.first(apr_layout::kAtHeaderCrc)));
  std::memcpy(data + apr_layout::kAtHeaderCrc, &crc, sizeof crc);
  return size;
}
#endif
