#include "orchestrator/stages/npy.h"

#include <bit>
#include <utility>

#include "core/base/cat.h"

namespace apr {

namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

/// With room for any number of rows, so that it can be written before they are counted.
constexpr std::size_t kHeaderBytes = 128;

/// Magic, version, size of what follows, and a Python dictionary padded with blanks to a line end.
std::string header(std::uint64_t rows, std::uint64_t columns) {
  constexpr std::size_t kBefore = 10;
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>((kHeaderBytes - kBefore) & 0xFF);
  text += static_cast<char>((kHeaderBytes - kBefore) >> 8);
  text += cat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", columns, "), }");
  text.resize(kHeaderBytes - 1, ' ');
  return text + '\n';
}

}  // namespace

Result<NpyWriter> NpyWriter::create(const std::string& path, std::uint64_t columns,
                                    bool overwrite) {
  APR_ASSIGN(AtomicFile file, AtomicFile::create(path, overwrite));
  APR_TRY(file.write(header(0, columns)));
  return NpyWriter(std::move(file), columns);
}

Status NpyWriter::write(std::span<const float> values) {
  values_ += values.size();
  return file_.write(std::as_bytes(values));
}

Status NpyWriter::commit() {
  const std::string final_header = header(values_ / columns_, columns_);
  APR_TRY(file_.write_at(0, std::as_bytes(std::span(final_header))));
  return file_.commit();
}

}  // namespace apr
