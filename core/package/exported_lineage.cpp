#include "core/package/exported_lineage.h"

#include "core/base/cat.h"
#include "core/package/lineage.h"

namespace apr {

namespace {

constexpr std::string_view kFormat = "apr-exported-lineage";
constexpr std::int64_t kVersion = 1;

}  // namespace

std::vector<LineageRecord> lineage_of_export(const Package& package, std::string_view plugin) {
  if (!package.content_root() || package.lineage().empty()) return {};
  std::vector<LineageRecord> records = package.lineage();
  LineageRecord record;
  record.stage = "export";
  record.tool = "apr " APR_VERSION;
  record.plugin = plugin;
  const std::string& name = package.metadata()["name"].as_string();
  record.inputs.push_back({name.empty() ? std::string("model") : name, *package.content_root()});
  records.push_back(std::move(record));
  return records;
}

std::string encode_exported_lineage(const ExportedLineage& exported) {
  Json files = Json::object();
  for (const auto& [name, digest] : exported.files) files.set(name, digest.hex());
  const auto records = parse_json(encode_lineage(exported.records));
  return Json::object({{"format", kFormat},
                       {"version", kVersion},
                       {"files", std::move(files)},
                       {"lineage", records ? (*records)["lineage"] : Json::array()}})
             .dump(1) +
         "\n";
}

Result<ExportedLineage> decode_exported_lineage(std::string_view text, const std::string& file) {
  const auto wrong = [&](std::string_view problem) {
    return make_error(ErrorCode::format, cat("the history of the export ", problem), file,
                      "delete the file to import without that history");
  };
  const auto json = parse_json(text, file);
  if (!json) return wrong("is no JSON");
  if ((*json)["format"].as_string() != kFormat || (*json)["version"].as_integer() != kVersion) {
    return wrong("is none that this version reads");
  }
  ExportedLineage exported;
  for (const auto& [name, value] : (*json)["files"].as_object()) {
    const auto digest = Digest::from_hex(value.as_string());
    if (!digest) return wrong(cat("has no SHA-256 for ", Json(name).dump()));
    exported.files.insert_or_assign(name, *digest);
  }
  auto records = decode_lineage(Json::object({{"lineage", (*json)["lineage"]}}).dump());
  if (!records) return wrong(cat("is damaged: ", records.error().message));
  exported.records = *std::move(records);
  if (exported.files.empty()) return wrong("names no file");
  if (exported.records.empty() || exported.records.back().stage != "export") {
    return wrong("does not end with an export");
  }
  return exported;
}

}  // namespace apr
