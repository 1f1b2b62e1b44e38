// The work behind open_apr() and verify_apr() on bytes in memory, for fuzzers and other holders of
// bytes.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/export.h"
#include "core/formats/apr/table.h"
#include "core/package/package.h"
#include "core/package/write.h"

namespace apr {

/// The bytes must outlive the package, or belong to one of `mappings`.
APR_API Result<Package> open_apr_image(std::span<const std::byte> bytes, const std::string& path,
                                       std::vector<std::shared_ptr<const FileMapping>> mappings);

/// `table` was read from `bytes`.
APR_API AprVerification verify_apr_image(std::span<const std::byte> bytes, const AprTable& table,
                                         const std::function<void(std::uint64_t)>& progress);

}  // namespace apr
