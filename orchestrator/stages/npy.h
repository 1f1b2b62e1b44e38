// NumPy's array files (.npy, version 1.0): a table of float32 written row by row.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/platform/file.h"

namespace apr {

/// Appears under its name when commit() succeeds.
class NpyWriter {
 public:
  static Result<NpyWriter> create(const std::string& path, std::uint64_t columns, bool overwrite);
  /// Whole rows.
  Status write(std::span<const float> values);
  Status commit();

 private:
  NpyWriter(AtomicFile file, std::uint64_t columns) : file_(std::move(file)), columns_(columns) {}
  AtomicFile file_;
  std::uint64_t columns_ = 0;
  std::uint64_t values_ = 0;
};

}  // namespace apr
