#include "core/base/cat.h"
#include "core/formats/apr/metadata.h"
#include "core/formats/apr/table.h"
#include "core/formats/bytes.h"
#include "core/package/apr_image.h"
#include "core/package/lineage.h"
#include "core/package/package.h"

namespace apr {

namespace {

std::span<const std::byte> section_bytes(std::span<const std::byte> file,
                                         const AprSection& section) {
  return file.subspan(static_cast<std::size_t>(section.offset),
                      static_cast<std::size_t>(section.size));
}

/// What our own sections hold. Their digests are checked by verify_apr(); here their structure is.
Status read_sections(std::span<const std::byte> file, const AprTable& table,
                     Package::Parts& parts) {
  if (const AprSection* section = table.sections.find(AprSectionType::files)) {
    APR_ASSIGN(parts.files, decode_apr_files(section_bytes(file, *section)));
  }
  if (const AprSection* section = table.sections.find(AprSectionType::tokenizer)) {
    const auto bytes = section_bytes(file, *section);
    parts.tokenizer_table.assign(bytes.begin(), bytes.end());
  }
  if (const AprSection* section = table.sections.find(AprSectionType::lineage)) {
    APR_ASSIGN(parts.lineage, decode_lineage(as_text(section_bytes(file, *section))));
  }
  if (const AprSection* section = table.sections.find(AprSectionType::digests)) {
    Digest root;  // the last 32 bytes; checked when the table was read
    const auto bytes = section_bytes(file, *section).last(root.bytes.size());
    std::copy(bytes.begin(), bytes.end(), root.bytes.begin());
    parts.content_root = root;
  }
  return {};
}

}  // namespace

Result<Package> open_apr(const std::string& path) {
  APR_ASSIGN(const std::shared_ptr<const FileMapping> file, FileMapping::open(path));
  return open_apr_image(file->bytes(), path, {file});
}

Result<Package> open_apr_image(std::span<const std::byte> bytes, const std::string& path,
                               std::vector<std::shared_ptr<const FileMapping>> mappings) {
  APR_ASSIGN(AprTable table, read_apr_table(bytes, path));
  Package::Parts parts;
  parts.path = path;
  parts.format = "apr";
  parts.mappings = std::move(mappings);
  parts.trust_problem = table.sections.problem;
  if (auto status = read_sections(bytes, table, parts); !status) {
    return std::move(status).error().within(path);
  }
  if (const auto config = parts.files.find("config.json"); config != parts.files.end()) {
    APR_ASSIGN(parts.config, parse_json(config->second, cat(path, ": config.json")));
  } else {
    parts.config = config_from_apr_metadata(table.metadata);
  }
  parts.tensors.reserve(table.tensors.size());
  for (AprTensor& tensor : table.tensors) {
    TensorEntry entry;
    entry.view.type = tensor.type;
    entry.view.shape = tensor.shape;
    entry.view.data = bytes.subspan(static_cast<std::size_t>(tensor.offset),
                                    static_cast<std::size_t>(tensor.size));
    entry.name = std::move(tensor.name);
    entry.alias_of = std::move(tensor.alias_of);
    parts.tensors.push_back(std::move(entry));
  }
  parts.metadata = std::move(table.metadata);
  return Package::from(std::move(parts));
}

}  // namespace apr
