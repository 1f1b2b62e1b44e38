#include "core/formats/apr/image.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/formats/apr/index.h"
#include "core/formats/apr/layout.h"
#include "core/formats/apr/metadata.h"
#include "core/formats/bytes.h"
#include "core/formats/tensor_name.h"

namespace apr {

namespace {

using namespace apr_layout;

std::uint64_t aligned(std::uint64_t size) {
  return (size + kAlignment - 1) & ~(kAlignment - 1);
}

Error bad_tensor(std::string_view name, std::string message) {
  return make_error(ErrorCode::validation, std::move(message),
                    cat("tensor ", printable_name(name)));
}

/// Names legal and unique; returns positions sorted by name.
Result<std::vector<std::size_t>> sort_by_name(std::span<const AprTensor> tensors) {
  if (tensors.size() > kMaxTensors) {
    return make_error(ErrorCode::unsupported, cat("more than ", kMaxTensors, " tensors"));
  }
  std::vector<std::size_t> sorted(tensors.size());
  std::iota(sorted.begin(), sorted.end(), std::size_t{0});
  std::ranges::sort(sorted, {},
                    [&](std::size_t i) -> const std::string& { return tensors[i].name; });
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const std::string& name = tensors[sorted[i]].name;
    if (const auto problem = tensor_name_problem(name); !problem.empty()) {
      return bad_tensor(name, cat("its name ", problem));
    }
    if (i > 0 && tensors[sorted[i - 1]].name == name) return bad_tensor(name, "is planned twice");
  }
  return sorted;
}

/// Fills in sizes and offsets relative to the data section; returns the section's length.
Result<std::uint64_t> place(std::vector<AprTensor>& tensors, std::span<const std::size_t> sorted) {
  std::uint64_t reached = 0;
  for (AprTensor& tensor : tensors) {
    APR_ASSIGN(tensor.size, storage_bytes(tensor.type, tensor.shape));
    if (!tensor.alias_of.empty()) continue;
    tensor.offset = reached;
    const auto end = checked_add(reached, tensor.size);
    const auto next = end ? checked_align(*end, kAlignment) : std::nullopt;
    if (!next) return bad_tensor(tensor.name, "makes the file larger than 64 bits can count");
    reached = *next;
  }
  for (AprTensor& tensor : tensors) {
    if (tensor.alias_of.empty()) continue;
    const auto name_at = [&](std::size_t i) -> const std::string& { return tensors[i].name; };
    const auto found = std::ranges::lower_bound(sorted, tensor.alias_of, {}, name_at);
    if (found == sorted.end() || name_at(*found) != tensor.alias_of ||
        !tensors[*found].alias_of.empty()) {
      return bad_tensor(tensor.name,
                        cat("is to share the bytes of ", tensor.alias_of, ", which stores none"));
    }
    const AprTensor& owner = tensors[*found];
    if (owner.type != tensor.type || !(owner.shape == tensor.shape)) {
      return bad_tensor(tensor.name, cat("is to share the bytes of ", tensor.alias_of,
                                         ", but differs in type or shape"));
    }
    tensor.offset = owner.offset;
  }
  return reached;
}

/// The quantized type that takes the most bytes, as upstream's {quant_type, bits, block_size,
/// symmetric}.
Json quantization_of(std::span<const AprTensor> tensors) {
  std::map<Type, std::uint64_t> bytes;
  for (const AprTensor& tensor : tensors) {
    if (traits(tensor.type).quantized && tensor.alias_of.empty()) bytes[tensor.type] += tensor.size;
  }
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& row) { return row.second; });
  if (most == bytes.end()) return {};
  const TypeTraits& type = traits(most->first);
  const bool symmetric = type.type != Type::q4_1 && type.type != Type::q5_1 &&
                         type.type != Type::q4_k && type.type != Type::q5_k;
  return Json::object({{"quant_type", type.name},
                       {"bits", static_cast<int>(bits_per_element(type.type))},
                       {"block_size", type.rule == RowRule::tensor ? 0u : type.block_elements},
                       {"symmetric", symmetric}});
}

void complete_metadata(Json& metadata, std::span<const AprTensor> tensors,
                       std::span<const std::size_t> sorted) {
  JsonObject types;
  JsonObject aliases;
  std::uint64_t total = 0;
  std::uint64_t elements = 0;
  for (const std::size_t i : sorted) {
    const AprTensor& tensor = tensors[i];
    types.emplace_back(tensor.name, name_of(tensor.type));
    if (tensor.alias_of.empty()) {
      total += tensor.size;
      elements += tensor.shape.elements();
    } else {
      aliases.emplace_back(tensor.name, tensor.alias_of);
    }
  }
  metadata.set("total_size", total);
  metadata.set("param_count", elements);
  metadata.set("quantization", quantization_of(tensors));
  metadata.set("tensor_types", std::move(types));
  metadata.erase("tensor_aliases");
  if (!aliases.empty()) metadata.set("tensor_aliases", std::move(aliases));
}

std::vector<std::byte> header_bytes(const AprHeader& header) {
  std::vector<std::byte> out;
  append_text(out, kMagic);
  append_number(out, kMajor);
  append_number(out, std::uint8_t{0});
  append_number(out, header.flags);
  append_number(out, header.tensor_count);
  append_number(out, header.metadata_offset);
  append_number(out, header.metadata_size);
  append_number(out, header.index_offset);
  append_number(out, header.data_offset);
  std::vector<std::byte> extension;
  append_number(extension, kExtensionTag);
  append_number(extension, header.directory_offset);
  append_number(extension, static_cast<std::uint64_t>(kDirectoryBytes));
  append_number(out, crc32(extension, crc32(out)));
  append_bytes(out, extension);
  return out;
}

}  // namespace

Result<AprHead> make_apr_head(std::vector<AprTensor>& tensors, Json metadata, bool has_vocabulary) {
  AprHead head;
  APR_ASSIGN(head.sorted, sort_by_name(tensors));
  APR_ASSIGN(const std::uint64_t data_size, place(tensors, head.sorted));
  complete_metadata(metadata, tensors, head.sorted);
  const std::string metadata_text = write_apr_metadata(std::move(metadata));
  if (metadata_text.size() > kMaxMetadata) {
    return make_error(ErrorCode::unsupported, cat("metadata of ", metadata_text.size(),
                                                  " bytes; the format allows ", kMaxMetadata));
  }
  std::vector<std::byte> index;
  for (const std::size_t i : head.sorted) {
    append_apr_index_entry(index, tensors[i], tensors[i].offset);
  }

  AprHeader header;
  header.flags = kRowMajor;
  const bool quantized = std::ranges::any_of(
      tensors, [](const AprTensor& tensor) { return traits(tensor.type).quantized; });
  if (quantized) header.flags |= kQuantized;
  if (has_vocabulary) header.flags |= kHasVocabulary;
  header.tensor_count = static_cast<std::uint32_t>(tensors.size());
  header.metadata_offset = kHeaderBytes;
  header.metadata_size = static_cast<std::uint32_t>(metadata_text.size());
  header.index_offset = kHeaderBytes + aligned(metadata_text.size());
  header.data_offset = header.index_offset + aligned(index.size());
  const auto directory = checked_add(header.data_offset, data_size);
  if (!directory)
    return make_error(ErrorCode::unsupported, "the model is larger than 64 bits can count");
  header.directory_offset = *directory;

  head.bytes = header_bytes(header);
  head.header = sha256(head.bytes);
  head.metadata = sha256(metadata_text);
  head.index = sha256(index);
  append_text(head.bytes, metadata_text);
  head.bytes.resize(static_cast<std::size_t>(header.index_offset));
  append_bytes(head.bytes, index);
  head.bytes.resize(static_cast<std::size_t>(header.data_offset));
  head.data_offset = header.data_offset;
  head.directory_offset = header.directory_offset;
  return head;
}

}  // namespace apr
