#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/formats/bytes.h"
#include "core/formats/safetensors/safetensors.h"

namespace apr {

Result<std::string> write_safetensors_header(std::span<SafetensorsTensor> tensors,
                                             const Json& metadata) {
  constexpr std::size_t kAlignment = 8;
  JsonObject header;
  header.reserve(tensors.size() + 1);
  if (metadata.size() > 0) header.emplace_back("__metadata__", metadata);
  std::uint64_t reached = 0;
  for (SafetensorsTensor& tensor : tensors) {
    const std::string_view dtype = safetensors_dtype(tensor.type);
    if (dtype.empty()) {
      return make_error(ErrorCode::unsupported,
                        cat("type ", name_of(tensor.type), " has no place in a safetensors file"),
                        cat("tensor ", tensor.name));
    }
    APR_ASSIGN(tensor.size, storage_bytes(tensor.type, tensor.shape));
    const auto end = checked_add(reached, tensor.size);
    if (!end)
      return make_error(ErrorCode::generic, "the tensors are larger than 64 bits can count");
    JsonArray shape;
    for (const std::uint64_t dim : tensor.shape.dims()) shape.emplace_back(dim);
    header.emplace_back(tensor.name,
                        Json::object({{"dtype", Json(dtype)},
                                      {"shape", Json(std::move(shape))},
                                      {"data_offsets", JsonArray{Json(reached), Json(*end)}}}));
    tensor.offset = reached;
    reached = *end;
  }
  std::string text = Json(std::move(header)).dump();
  // Spaces put the first tensor on a multiple of eight, as the format recommends.
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  const std::uint64_t data_offset = sizeof(std::uint64_t) + text.size();
  for (SafetensorsTensor& tensor : tensors) tensor.offset += data_offset;
  std::vector<std::byte> length;
  append_number(length, static_cast<std::uint64_t>(text.size()));
  return cat(as_text(length), text);
}

}  // namespace apr
