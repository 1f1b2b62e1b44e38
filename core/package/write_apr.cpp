#include <algorithm>
#include <array>

#include "core/base/cat.h"
#include "core/formats/apr/digests.h"
#include "core/formats/apr/image.h"
#include "core/formats/apr/layout.h"
#include "core/formats/bytes.h"
#include "core/package/lineage.h"
#include "core/package/write.h"

namespace apr {

namespace {

using namespace apr_layout;

/// The output file, with the checksum of everything written so far.
class Output {
 public:
  explicit Output(AtomicFile file) : file_(std::move(file)) {}

  Status write(std::span<const std::byte> bytes) {
    crc_ = crc32(bytes, crc_);
    return file_.write(bytes);
  }
  Status pad() {
    constexpr std::array<std::byte, kAlignment> kZeros{};
    const std::uint64_t over = file_.size() % kAlignment;
    return over == 0 ? Status{} : write(std::span(kZeros).first(kAlignment - over));
  }
  Status finish() {
    APR_TRY(file_.write(std::as_bytes(std::span(&crc_, 1))));
    return file_.commit();
  }
  std::uint64_t size() const { return file_.size(); }

 private:
  AtomicFile file_;
  std::uint32_t crc_ = 0;
};

struct PendingSection {
  AprSectionType type;
  std::span<const std::byte> bytes;
};

Status write_sections(Output& out, std::span<const PendingSection> pending) {
  std::vector<AprSection> sections;
  std::uint64_t reached = out.size() + kDirectoryBytes;
  for (const PendingSection& section : pending) {
    if (section.bytes.empty()) continue;
    sections.push_back({static_cast<std::uint32_t>(section.type), 1, reached, section.bytes.size(),
                        sha256(section.bytes)});
    reached = (reached + section.bytes.size() + kAlignment - 1) & ~(kAlignment - 1);
  }
  APR_TRY(out.write(encode_apr_directory(sections)));
  for (const PendingSection& section : pending) {
    APR_TRY(out.write(section.bytes));
    APR_TRY(out.pad());
  }
  return {};
}

/// Streams one tensor; its tree head.
Result<Digest> write_tensor(Output& out, const PackagePlan::PlannedTensor& planned,
                            std::uint64_t size, const std::function<void(std::uint64_t)>& written) {
  TreeHash hash;
  std::uint64_t produced = 0;
  const auto where = cat("tensor ", planned.name);
  if (!planned.produce) return make_error(ErrorCode::generic, "has no source of bytes", where);
  Status unwritten;  // told as it is: it is not the source's, which would put its place before it
  const auto sink = [&](std::span<const std::byte> bytes) -> Status {
    if (bytes.size() > size - produced) {
      return make_error(ErrorCode::generic, cat("its source gave more than its ", size, " bytes"),
                        where);
    }
    produced += bytes.size();
    hash.update(bytes);
    unwritten = out.write(bytes);
    if (unwritten) written(bytes.size());
    return unwritten;
  };
  if (auto status = planned.produce(sink); !status) {
    return unwritten ? std::move(status).error() : std::move(unwritten).error();
  }
  if (produced != size) {
    return make_error(ErrorCode::generic,
                      cat("its source gave ", produced, " of its ", size, " bytes"), where);
  }
  APR_TRY(out.pad());
  return hash.finish();
}

}  // namespace

Result<WrittenPackage> write_apr(const std::string& path, const PackagePlan& plan, bool overwrite,
                                 const std::function<void(std::uint64_t)>& progress) {
  std::vector<AprTensor> tensors;
  tensors.reserve(plan.tensors.size());
  for (const PackagePlan::PlannedTensor& planned : plan.tensors) {
    tensors.push_back({planned.name, planned.type, planned.shape, 0, 0, planned.alias_of});
  }
  for (const auto& [name, content] : plan.files) {
    if (const auto problem = stored_name_problem(name); !problem.empty()) {
      return make_error(ErrorCode::validation, cat("a file to be stored has a name that ", problem),
                        path);
    }
  }
  auto made = make_apr_head(tensors, plan.metadata, !plan.tokenizer_table.empty());
  if (!made) return std::move(made).error().within(path);
  const AprHead& head = *made;

  APR_ASSIGN(AtomicFile file, AtomicFile::create(path, overwrite));
  Output out(std::move(file));
  APR_TRY(out.write(head.bytes));
  AprDigests digests;
  std::vector<Digest> by_position(tensors.size());
  std::uint64_t total = 0;
  const auto written = [&](std::uint64_t bytes) {
    total += bytes;
    if (progress) progress(total);
  };
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].alias_of.empty()) continue;
    auto digest = write_tensor(out, plan.tensors[i], tensors[i].size, written);
    if (!digest) {
      // A source that told where it failed means the model that is read, not this file.
      Error error = std::move(digest).error();
      return error.context.empty() ? std::move(error).within(path) : error;
    }
    by_position[i] = *digest;
  }
  const auto name_at = [&](std::size_t i) -> const std::string& { return tensors[i].name; };
  for (const std::size_t i : head.sorted) {
    const auto owner =
        tensors[i].alias_of.empty()
            ? i
            : *std::ranges::lower_bound(head.sorted, tensors[i].alias_of, {}, name_at);
    digests.tensors.push_back(by_position[owner]);
  }

  const auto files = plan.files.empty() ? std::vector<std::byte>() : encode_apr_files(plan.files);
  const std::string lineage = plan.lineage.empty() ? std::string() : encode_lineage(plan.lineage);
  digests.header = head.header;
  digests.metadata = head.metadata;
  digests.index = head.index;
  digests.files = sha256(files);
  digests.tokenizer = sha256(plan.tokenizer_table);
  digests.lineage = sha256(lineage);
  const auto digest_bytes = digests.encode();
  const PendingSection sections[] = {
      {AprSectionType::files, files},
      {AprSectionType::tokenizer, plan.tokenizer_table},
      {AprSectionType::lineage, as_bytes(lineage)},
      {AprSectionType::digests, digest_bytes},
  };
  APR_TRY(write_sections(out, sections));
  APR_TRY(out.finish());
  return WrittenPackage{out.size(), digests.content_root()};
}

}  // namespace apr
