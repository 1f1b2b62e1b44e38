// Helpers the sources of this folder share; nobody else includes it.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/result.h"
#include "core/platform/file.h"

namespace apr::platform {

/// read() and write() take at most 2^31 bytes on some systems.
inline constexpr std::size_t kMostPerCall = std::size_t{1} << 30;

/// Closes on destruction.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

/// The error for errno: ErrorCode::not_found for ENOENT, otherwise ErrorCode::io.
Error system_error(std::string_view action, std::string_view path);
/// Folders, pipes, devices and dangling links are refused by name.
Result<Descriptor> open_regular(const std::string& path);
Status require_regular(unsigned mode, const std::string& path);
FileStatus to_status(const struct stat& info);
/// Up to out.size() bytes; 0 at the end of the file.
Result<std::size_t> read_some(int descriptor, std::span<std::byte> out, const std::string& path);

}  // namespace apr::platform
