// safetensors: any bytes give a table whose tensors lie inside them, or an error.
#include <cstdint>
#include <cstdlib>

#include "core/base/checked.h"
#include "core/formats/safetensors/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  auto table = apr::read_safetensors_table(bytes, "fuzz.safetensors");
  if (!table) {
    if (table.error().message.empty()) std::abort();
    return 0;
  }
  std::uint64_t total = 0;
  for (const apr::SafetensorsTensor& tensor : table->tensors) {
    if (!apr::range_fits(tensor.offset, tensor.size, size)) std::abort();
    const auto needed = apr::storage_bytes(tensor.type, tensor.shape);
    if (!needed || *needed != tensor.size) std::abort();
    total += tensor.size;
  }
  if (total > size) std::abort();  // no two share a byte
  // What was read can be written, and reads back as the same tensors.
  const auto before = table->tensors;
  const auto header = apr::write_safetensors_header(table->tensors, table->metadata);
  if (!header) std::abort();
  std::string image = *header;
  image.resize(image.size() + total);
  const auto again =
      apr::read_safetensors_table(std::as_bytes(std::span(image.data(), image.size())), "again");
  if (!again || again->tensors.size() != before.size()) std::abort();
  for (std::size_t i = 0; i < before.size(); ++i) {
    const apr::SafetensorsTensor& tensor = again->tensors[i];
    if (tensor.name != before[i].name || tensor.type != before[i].type ||
        !(tensor.shape == before[i].shape)) {
      std::abort();
    }
  }
  return 0;
}
