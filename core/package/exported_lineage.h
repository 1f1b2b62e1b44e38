// A model's history beside the files it was exported to.
//
// Formats of others have no place for a history, so an exporter writes this small file next to what
// it writes: the history up to and with the export, and the SHA-256 of every other file. An
// importer that finds it, and finds those files unchanged, goes on with that history; the digest of
// this file, which the import names as one of its inputs, is the link between the two.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/package/package.h"

namespace apr {

inline constexpr std::string_view kExportedLineageFile = "apr_lineage.json";
/// Parameter of an import that found a history which no longer belongs to its files: why.
inline constexpr std::string_view kLostHistory = "history_lost";

struct ExportedLineage {
  std::map<std::string, Digest, std::less<>> files;
  std::vector<LineageRecord> records;  ///< the last one is the export
};

/// What an export of the package is in its history; nothing to go on for a package that has no
/// content root.
APR_API std::vector<LineageRecord> lineage_of_export(const Package& package,
                                                     std::string_view plugin);

APR_API std::string encode_exported_lineage(const ExportedLineage& exported);
APR_API Result<ExportedLineage> decode_exported_lineage(std::string_view text,
                                                        const std::string& file);

}  // namespace apr
