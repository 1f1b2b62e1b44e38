// A block of memory whose size comes from a model: running out of it is an error, not the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <string_view>

#include "core/base/cat.h"
#include "core/base/result.h"

namespace apr {

/// 64-byte aligned, zeroed.
class Buffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  Buffer() = default;
  /// `what` names the use in the error.
  static Result<Buffer> create(std::uint64_t bytes, std::string_view what) {
    Buffer buffer;
    if (bytes > SIZE_MAX / 2) return out_of_memory(bytes, what);
    const auto size = (static_cast<std::size_t>(bytes) + kAlignment - 1) & ~(kAlignment - 1);
    // calloc, not aligned new and a fill: large zeroed blocks cost nothing until they are touched.
    buffer.block_.reset(std::calloc(size + kAlignment, 1));
    if (buffer.block_ == nullptr) return out_of_memory(bytes, what);
    void* start = buffer.block_.get();
    std::size_t space = size + kAlignment;
    buffer.data_ = static_cast<std::byte*>(std::align(kAlignment, size, start, space));
    buffer.size_ = static_cast<std::size_t>(bytes);
    return buffer;
  }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  static Error out_of_memory(std::uint64_t bytes, std::string_view what) {
    return make_error(ErrorCode::load, cat("there is no memory for ", what, " (", bytes, " bytes)"),
                      {}, "use a smaller context, smaller steps or a smaller model");
  }
  std::unique_ptr<void, Free> block_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace apr
