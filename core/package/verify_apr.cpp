#include <algorithm>

#include "core/base/cat.h"
#include "core/formats/apr/digests.h"
#include "core/formats/apr/layout.h"
#include "core/formats/apr/table.h"
#include "core/formats/bytes.h"
#include "core/package/apr_image.h"
#include "core/package/lineage.h"
#include "core/package/write.h"

namespace apr {

namespace {

using namespace apr_layout;

class Verifier {
 public:
  Verifier(std::span<const std::byte> bytes, const AprTable& table,
           const std::function<void(std::uint64_t)>& progress)
      : bytes_(bytes), table_(table), progress_(progress) {}

  AprVerification run() {
    found_.header_crc_present = table_.header.crc_present;
    found_.trust_section = table_.sections.state == AprSections::State::sound;
    found_.trust_section_stale = table_.sections.state == AprSections::State::lost;
    if (!found_.header_crc_present) problem("the header has no checksum");
    check_padding();
    check_footer();
    if (found_.trust_section) check_digests();
    return std::move(found_);
  }

 private:
  struct Range {
    std::uint64_t begin;
    std::uint64_t end;
    std::string name;
  };

  void problem(std::string text) { found_.problems.push_back(std::move(text)); }

  std::span<const std::byte> range(std::uint64_t offset, std::uint64_t size) const {
    return bytes_.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
  }

  static std::uint64_t aligned(std::uint64_t size) {
    return (size + kAlignment - 1) & ~(kAlignment - 1);
  }

  /// Parts of the file in order; everything between them must be zero.
  std::vector<Range> parts() const {
    const AprHeader& header = table_.header;
    std::vector<Range> parts = {
        {0, kHeaderBytes, "the header"},
        {header.metadata_offset, header.metadata_offset + header.metadata_size, "the metadata"},
        {header.index_offset, table_.index_end, "the tensor index"},
        {header.data_offset, header.data_offset, "the start of the data"},
    };
    for (const AprTensor& tensor : table_.tensors) {
      if (tensor.alias_of.empty() && tensor.size > 0) {
        parts.push_back({tensor.offset, tensor.offset + tensor.size, cat("tensor ", tensor.name)});
      }
    }
    if (table_.sections.state == AprSections::State::sound) {
      parts.push_back({header.directory_offset, header.directory_offset + kDirectoryBytes,
                       "the section directory"});
      for (const AprSection& section : table_.sections.directory) {
        parts.push_back(
            {section.offset, section.offset + section.size, name_of_section(section.type)});
      }
    }
    std::ranges::sort(parts, [](const Range& a, const Range& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    return parts;
  }

  void check_zero(std::uint64_t begin, std::uint64_t end, std::string_view where) {
    const auto gap = range(begin, end - begin);
    const auto first = std::ranges::find_if(gap, [](std::byte b) { return b != std::byte{0}; });
    if (first == gap.end()) return;
    problem(cat("the padding after ", where, " is not zero (byte ",
                begin + static_cast<std::uint64_t>(first - gap.begin()), ")"));
  }

  void check_padding() {
    const std::vector<Range> all = parts();
    std::uint64_t reached = 0;
    std::string_view before;
    for (const Range& part : all) {
      if (part.begin > reached) check_zero(reached, part.begin, before);
      if (part.end >= reached) before = part.name;
      reached = std::max(reached, part.end);
    }
    // The last part is padded, then comes the footer, if there is one.
    const std::uint64_t size = bytes_.size();
    const std::uint64_t padded = std::min(aligned(reached), size);
    found_.footer_present = size - padded >= kFooterBytes;
    if (found_.trust_section_stale) return;  // where the other tool's data ends is not known
    check_zero(reached, padded, before);
    if (!found_.footer_present && size > padded) {
      problem(cat("the file ends with ", size - padded, " bytes that are no footer"));
    }
    if (size - padded > kFooterBytes) {
      problem(cat("there are ", size - padded - kFooterBytes, " unknown bytes before the footer"));
    }
    if (!found_.footer_present && found_.trust_section) {
      problem("the footer is missing; the file is cut short");
    }
  }

  void check_footer() {
    if (!found_.footer_present) return;
    const auto body = bytes_.first(bytes_.size() - kFooterBytes);
    constexpr std::size_t kStep = std::size_t{8} << 20;
    std::uint32_t crc = 0;
    for (std::size_t at = 0; at < body.size(); at += kStep) {
      crc = crc32(body.subspan(at, std::min(kStep, body.size() - at)), crc);
    }
    const auto stored = load_number<std::uint32_t>(bytes_, body.size());
    if (crc != stored) problem("the checksum of the file does not match its footer");
  }

  void check_digests() {
    for (const AprSection& section : table_.sections.directory) {
      if (sha256(range(section.offset, section.size)) != section.digest) {
        problem(cat("the digest of ", name_of_section(section.type), " does not match"));
      }
    }
    // Present and decodable, or the sections would not be sound.
    const AprSection* stored = table_.sections.find(AprSectionType::digests);
    const auto digests =
        AprDigests::decode(range(stored->offset, stored->size), table_.tensors.size());
    if (!digests) return problem(digests.error().message);
    check_section(AprSectionType::files, digests->files);
    check_section(AprSectionType::tokenizer, digests->tokenizer);
    check_section(AprSectionType::lineage, digests->lineage);
    check_contents();
    std::uint64_t done = 0;
    for (std::size_t i = 0; i < table_.tensors.size(); ++i) {
      const AprTensor& tensor = table_.tensors[i];
      TreeHash hash;
      for (std::uint64_t at = 0; at < tensor.size; at += kTreeLeafBytes) {
        const std::uint64_t step = std::min<std::uint64_t>(kTreeLeafBytes, tensor.size - at);
        hash.update(range(tensor.offset + at, step));
        if (tensor.alias_of.empty()) done += step;
        if (progress_) progress_(done);
      }
      if (hash.finish() != digests->tensors[i]) {
        problem(cat("tensor ", tensor.name, " differs from its digest"));
      }
      ++found_.tensors_checked;
    }
  }

  void check_section(AprSectionType type, const Digest& expected) {
    const AprSection* section = table_.sections.find(type);
    const Digest actual =
        section != nullptr ? section->digest : sha256(std::span<const std::byte>());
    if (actual != expected) {
      problem(cat(name_of_section(static_cast<std::uint32_t>(type)),
                  " is not the section the digests were taken of"));
    }
  }

  void check_contents() {
    if (const AprSection* section = table_.sections.find(AprSectionType::files)) {
      const auto files = decode_apr_files(range(section->offset, section->size));
      if (!files) problem(files.error().message);
    }
    if (const AprSection* section = table_.sections.find(AprSectionType::lineage)) {
      const std::string_view text = as_text(range(section->offset, section->size));
      const auto lineage = decode_lineage(text);
      if (!lineage) return problem(lineage.error().message);
      if (encode_lineage(*lineage) != text) problem("the LINEAGE section is not in canonical form");
    }
  }

  std::span<const std::byte> bytes_;
  const AprTable& table_;
  const std::function<void(std::uint64_t)>& progress_;
  AprVerification found_;
};

}  // namespace

AprVerification verify_apr_image(std::span<const std::byte> bytes, const AprTable& table,
                                 const std::function<void(std::uint64_t)>& progress) {
  return Verifier(bytes, table, progress).run();
}

Result<AprVerification> verify_apr(const std::string& path,
                                   const std::function<void(std::uint64_t)>& progress) {
  APR_ASSIGN(const std::shared_ptr<const FileMapping> file, FileMapping::open(path));
  APR_ASSIGN(const AprTable table, read_apr_table(file->bytes(), path));
  AprVerification found = verify_apr_image(file->bytes(), table, progress);
  APR_TRY(file->check_unchanged());
  return found;
}

}  // namespace apr
