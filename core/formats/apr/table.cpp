#include "core/formats/apr/table.h"

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/formats/apr/classical.h"
#include "core/formats/apr/digests.h"
#include "core/formats/apr/index.h"
#include "core/formats/apr/layout.h"
#include "core/formats/apr/metadata.h"
#include "core/formats/bytes.h"

namespace apr {

namespace {

using namespace apr_layout;

Error bad_format(std::string_view file, std::string message, std::string hint = {}) {
  return make_error(ErrorCode::format, std::move(message), std::string(file), std::move(hint));
}

/// What a file without our magic is, if that can be said.
Error not_apr(std::span<const std::byte> bytes, std::string_view file) {
  const std::string_view start = as_text(bytes.first(std::min<std::size_t>(bytes.size(), 16)));
  if (bytes.empty()) return bad_format(file, "is empty");
  if (is_classical_apr(bytes)) {
    const auto header = read_classical_header(bytes, file);
    if (!header) return header.error();
    return make_error(
        ErrorCode::unsupported,
        cat("is a classical v1 model (", header->model_type_name, ", container version ",
            header->major, ".", header->minor, "), not a v2 language model"),
        std::string(file));
  }
  if (start.starts_with("APR1") || start.starts_with("APR2")) {
    return make_error(
        ErrorCode::unsupported,
        cat("has the magic ", start.substr(0, 4), " of an early .apr draft that is not read"),
        std::string(file), "convert it to .apr v2 with the tool that wrote it");
  }
  if (start.starts_with("GGUF")) {
    return bad_format(
        file, "is a GGUF file, not an .apr file",
        "make an .apr file of the checkpoint that it was made from, with `apr import`");
  }
  if (start.size() > 8 && start[8] == '{') {
    return bad_format(file, "looks like a safetensors file, not an .apr file",
                      "make an .apr file of it with `apr import`");
  }
  if (start.starts_with("PK\x03\x04")) {
    return bad_format(file, "is a ZIP archive (perhaps a PyTorch pickle), not an .apr file");
  }
  return bad_format(file, "is not an .apr file (its magic is not 'APR\\0')");
}

Status check_flags(const AprHeader& header, std::string_view file) {
  const auto refuse = [&](std::string_view what, std::string_view hint = {}) {
    return make_error(ErrorCode::unsupported, std::string(what), std::string(file),
                      std::string(hint));
  };
  if ((header.flags & kColumnMajor) != 0) {
    return refuse("stores its tensors column by column (LAYOUT_COLUMN_MAJOR), which is not read");
  }
  if ((header.flags & kEncrypted) != 0) {
    return refuse(
        "is marked as encrypted, and .apr v2 defines no encryption this build could undo");
  }
  if ((header.flags & (kLz4 | kZstd)) != 0) {
    return refuse("is a compressed .apr file, which is not read", "store it uncompressed");
  }
  if ((header.flags & kSharded) != 0) {
    return refuse("is one shard of a model in several .apr files, which are not read one by one",
                  "join the shards with the tool that made them");
  }
  return {};
}

Status check_ranges(const AprHeader& header, std::uint64_t file_size, std::string_view file) {
  if (header.metadata_size > kMaxMetadata) {
    return bad_format(file, cat("announces ", header.metadata_size, " bytes of metadata; at most ",
                                kMaxMetadata, " are read"));
  }
  if (header.metadata_offset < kHeaderBytes ||
      !range_fits(header.metadata_offset, header.metadata_size, file_size)) {
    return bad_format(file, "its metadata lies outside the file",
                      "the file is cut short or damaged");
  }
  if (header.index_offset < header.metadata_offset + header.metadata_size ||
      header.data_offset < header.index_offset || header.data_offset > file_size) {
    return bad_format(file, "its tensor index lies outside the file or within another part",
                      "the file is cut short or damaged");
  }
  return {};
}

/// The digests of header, metadata and index tell whether the sections belong to this file as it is
/// now.
void check_trust(std::span<const std::byte> bytes, AprTable& table) {
  AprSections& sections = table.sections;
  if (sections.state != AprSections::State::sound) return;
  const auto lose = [&](std::string why) {
    sections.state = AprSections::State::lost;
    sections.problem = std::move(why);
  };
  const auto range = [&](std::uint64_t offset, std::uint64_t size) {
    return bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
  };
  const AprSection* section = sections.find(AprSectionType::digests);
  if (section == nullptr) return lose("the DIGESTS section is missing");
  const auto stored = range(section->offset, section->size);
  if (sha256(stored) != section->digest) return lose("the DIGESTS section has changed");
  const auto digests = AprDigests::decode(stored, table.tensors.size());
  if (!digests) return lose(digests.error().message);
  const AprHeader& header = table.header;
  if (sha256(bytes.first(kHeaderBytes)) != digests->header) {
    return lose("the header has changed since the digests were taken");
  }
  if (sha256(range(header.metadata_offset, header.metadata_size)) != digests->metadata) {
    return lose("the metadata has changed since the digests were taken");
  }
  if (sha256(range(header.index_offset, table.index_end - header.index_offset)) != digests->index) {
    return lose("the tensor index has changed since the digests were taken");
  }
}

}  // namespace

Result<AprHeader> read_apr_header(std::span<const std::byte> bytes, std::string_view file) {
  if (bytes.size() < kMagic.size() || as_text(bytes.first(kMagic.size())) != kMagic) {
    return not_apr(bytes, file);
  }
  if (bytes.size() < kHeaderBytes) {
    return bad_format(file, cat("has ", bytes.size(), " bytes; the header alone has 64"),
                      "the file is cut short; copy it again");
  }
  AprHeader header;
  header.major = load_number<std::uint8_t>(bytes, kAtMajor);
  header.minor = load_number<std::uint8_t>(bytes, kAtMinor);
  header.flags = load_number<std::uint16_t>(bytes, kAtFlags);
  header.tensor_count = load_number<std::uint32_t>(bytes, kAtTensorCount);
  header.metadata_offset = load_number<std::uint64_t>(bytes, kAtMetadataOffset);
  header.metadata_size = load_number<std::uint32_t>(bytes, kAtMetadataSize);
  header.index_offset = load_number<std::uint64_t>(bytes, kAtIndexOffset);
  header.data_offset = load_number<std::uint64_t>(bytes, kAtDataOffset);
  header.crc = load_number<std::uint32_t>(bytes, kAtHeaderCrc);
  header.extension = load_number<std::uint32_t>(bytes, kAtExtensionTag) == kExtensionTag;
  if (header.extension) {
    header.directory_offset = load_number<std::uint64_t>(bytes, kAtExtensionOffset);
    header.directory_size = load_number<std::uint64_t>(bytes, kAtExtensionSize);
  }
  const std::uint32_t computed =
      crc32(bytes.subspan(kAtHeaderCrc + 4, kHeaderBytes - kAtHeaderCrc - 4),
            crc32(bytes.first(kAtHeaderCrc)));
  header.crc_present = header.crc == computed || header.crc != 0;
  if (header.crc_present && header.crc != computed) {
    return bad_format(file, "the checksum of its header does not match",
                      "the file is damaged; copy it again");
  }
  if (header.major != kMajor) {
    return make_error(
        ErrorCode::unsupported,
        cat("is .apr version ", header.major, ".", header.minor, "; version 2 is read"),
        std::string(file));
  }
  APR_TRY(check_flags(header, file));
  APR_TRY(check_ranges(header, bytes.size(), file));
  return header;
}

Result<AprTable> read_apr_table(std::span<const std::byte> bytes, std::string_view file) {
  AprTable table;
  APR_ASSIGN(table.header, read_apr_header(bytes, file));
  const AprHeader& header = table.header;
  const auto index = bytes.subspan(static_cast<std::size_t>(header.index_offset));
  if (header.tensor_count > 0 && as_text(index).starts_with("[{")) {
    return make_error(ErrorCode::unsupported,
                      "has a tensor index in JSON, a variant of the format that is not read",
                      std::string(file), "import the model from its original checkpoint instead");
  }
  const std::string_view text = as_text(
      bytes.subspan(static_cast<std::size_t>(header.metadata_offset), header.metadata_size));
  JsonLimits limits;
  limits.max_bytes = kMaxMetadata;
  limits.max_values = 2'000'000;
  limits.last_duplicate_wins = true;  // such files exist
  APR_ASSIGN(Json metadata, parse_json(text, cat(file, ": metadata"), limits));
  if (!metadata.is_object()) {
    return bad_format(
        file, cat("its metadata is JSON of kind ", metadata.kind_name(), ", not an object"));
  }
  if (metadata["format"].as_string() == "entrenar-checkpoint") {
    return make_error(ErrorCode::unsupported,
                      "is a training checkpoint of entrenar, whose matrices are stored transposed",
                      std::string(file), "export the trained model to safetensors and import that");
  }
  table.metadata = canonical_apr_metadata(std::move(metadata));
  APR_TRY(read_apr_index(bytes, file, table));
  APR_TRY(check_apr_extents(bytes.size(), file, table));
  table.sections = read_apr_sections(bytes, header, table.data_end);
  check_trust(bytes, table);
  return table;
}

}  // namespace apr
