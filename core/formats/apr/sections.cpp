#include "core/formats/apr/sections.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/base/cat.h"
#include "core/base/checked.h"
#include "core/formats/apr/layout.h"
#include "core/formats/apr/table.h"
#include "core/formats/bytes.h"
#include "core/formats/tensor_name.h"

namespace apr {

namespace {

constexpr std::uint32_t kSectionVersion = 1;
constexpr std::size_t kMaxFileName = 255;

constexpr std::array<std::string_view, 8> kNames = {
    "", "FILES", "TOKENIZER", "DIGESTS", "LINEAGE", "ATTESTATIONS", "SIGNATURES", "CRYPT"};

AprSections lost(std::string problem) {
  AprSections sections;
  sections.state = AprSections::State::lost;
  sections.problem = std::move(problem);
  return sections;
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

AprSection read_slot(std::span<const std::byte> slot) {
  AprSection section;
  section.type = load_number<std::uint32_t>(slot, 0);
  section.version = load_number<std::uint32_t>(slot, 4);
  section.offset = load_number<std::uint64_t>(slot, 8);
  section.size = load_number<std::uint64_t>(slot, 16);
  std::ranges::copy(slot.subspan(24, 32), section.digest.bytes.begin());
  return section;
}

}  // namespace

std::string name_of_section(std::uint32_t type) {
  if (type > 0 && type < kNames.size()) return std::string(kNames[type]);
  return cat("section ", type);
}

const AprSection* AprSections::find(AprSectionType type) const {
  if (state != State::sound) return nullptr;
  for (const AprSection& section : directory) {
    if (section.type == static_cast<std::uint32_t>(type) && section.version == kSectionVersion) {
      return &section;
    }
  }
  return nullptr;
}

AprSections read_apr_sections(std::span<const std::byte> bytes, const AprHeader& header,
                              std::uint64_t data_end) {
  using namespace apr_layout;
  if (!header.extension) return {};
  const std::uint64_t end = bytes.size() < kFooterBytes ? 0 : bytes.size() - kFooterBytes;
  const std::uint64_t directory = header.directory_offset;
  if (header.directory_size != kDirectoryBytes || directory % kAlignment != 0 ||
      directory < data_end || !range_fits(directory, kDirectoryBytes, end)) {
    return lost("the section directory is not where the header says");
  }
  const auto slots = bytes.subspan(static_cast<std::size_t>(directory), kDirectoryBytes);
  AprSections found;
  found.state = AprSections::State::sound;
  std::uint64_t free_from = directory + kDirectoryBytes;
  for (std::size_t i = 0; i < kSlots; ++i) {
    const auto slot = slots.subspan(i * kSlotBytes, kSlotBytes);
    if (all_zero(slot)) continue;
    const AprSection section = read_slot(slot);
    const bool fits = section.type != 0 && section.offset % kAlignment == 0 &&
                      section.offset >= free_from &&
                      range_fits(section.offset, section.size, end) && all_zero(slot.subspan(56));
    if (!fits) return lost(cat("slot ", i, " of the section directory describes no section"));
    const bool twice = std::ranges::any_of(
        found.directory, [&](const AprSection& other) { return other.type == section.type; });
    if (twice)
      return lost(cat("the section directory lists ", name_of_section(section.type), " twice"));
    free_from = section.offset + section.size;
    found.directory.push_back(section);
  }
  return found;
}

std::vector<std::byte> encode_apr_directory(std::span<const AprSection> sections) {
  std::vector<std::byte> out;
  for (const AprSection& section : sections) {
    append_number(out, section.type);
    append_number(out, section.version);
    append_number(out, section.offset);
    append_number(out, section.size);
    append_bytes(out, section.digest.bytes);
    append_number(out, std::uint64_t{0});
  }
  out.resize(apr_layout::kDirectoryBytes);
  return out;
}

std::string_view file_name_problem(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > kMaxFileName) return "is longer than 255 bytes";
  if (name.find_first_of("/\\:") != std::string_view::npos) return "contains a path separator";
  if (name == "." || name == "..") return "names a folder";
  return tensor_name_problem(name);  // UTF-8 without control characters
}

std::string_view stored_name_problem(std::string_view name) {
  if (name.size() > kMaxFileName) return "is longer than 255 bytes";
  const std::size_t slash = name.find('/');
  if (slash == name.npos) return file_name_problem(name);
  const auto problem = file_name_problem(name.substr(0, slash));
  return problem.empty() ? file_name_problem(name.substr(slash + 1)) : problem;
}

std::vector<std::byte> encode_apr_files(const AprFiles& files) {
  std::vector<std::byte> out;
  append_number(out, static_cast<std::uint32_t>(files.size()));
  for (const auto& [name, content] : files) {
    append_number(out, static_cast<std::uint32_t>(name.size()));
    append_number(out, static_cast<std::uint64_t>(content.size()));
    append_text(out, name);
    append_text(out, content);
  }
  return out;
}

Result<AprFiles> decode_apr_files(std::span<const std::byte> bytes) {
  const auto bad = [](std::string_view message) {
    return make_error(ErrorCode::format, cat("the FILES section ", message));
  };
  ByteReader reader(bytes);
  const auto count = reader.number<std::uint32_t>();
  if (!count) return bad("is cut short");
  AprFiles files;
  std::string_view previous;
  for (std::uint32_t i = 0; i < *count; ++i) {
    const auto name_size = reader.number<std::uint32_t>();
    const auto size = reader.number<std::uint64_t>();
    if (!name_size || !size) return bad("is cut short");
    const auto name_bytes = reader.take(*name_size);
    const auto content = name_bytes ? reader.take(*size) : std::nullopt;
    if (!content) return bad("holds a file that reaches beyond its end");
    const std::string_view name = as_text(*name_bytes);
    if (const auto problem = stored_name_problem(name); !problem.empty()) {
      return bad(cat("holds a file whose name ", problem));
    }
    if (i > 0 && name <= previous) return bad("is not sorted by name");
    previous = name;
    files.emplace_hint(files.end(), name, as_text(*content));
  }
  if (reader.remaining() != 0) return bad("has bytes after its last file");
  return files;
}

}  // namespace apr
