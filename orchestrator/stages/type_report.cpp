#include "orchestrator/stages/type_report.h"

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"

namespace apr {

namespace {

std::uint64_t unsigned_of(const Json& number) {
  return static_cast<std::uint64_t>(number.as_integer());
}

}  // namespace

Json names_as_json(const std::vector<std::string>& names) {
  Json list = Json::array();
  for (const std::string& name : names) list.push_back(name);
  return list;
}

Json scheme_as_json(const SchemeUse& use) {
  return Json::object({{"scheme", use.name},
                       {"type", name_of(use.type)},
                       {"bits_per_weight", bits_per_element(use.type)},
                       {"plugin", use.plugin},
                       {"changed", std::uint64_t{use.changed}},
                       {"kept", std::uint64_t{use.kept}}});
}

std::string bytes_text(const Json& bytes) {
  const std::uint64_t value = unsigned_of(bytes);
  if (value < 1000) return human_bytes(value);
  return cat(human_bytes(value), " (", with_commas(value), " bytes)");
}

std::string parameters_text(const Json& parameters) {
  const std::uint64_t value = unsigned_of(parameters);
  const std::string rounded = human_count(value);
  return value < 10000 ? rounded : cat(rounded, " (", with_commas(value), ")");
}

std::string types_line(const Json& types) {
  std::string line;
  for (const Json& use : types.as_array()) {
    line += cat(line.empty() ? "" : ", ", plural(unsigned_of(use["tensors"]), "tensor"), " ",
                use["type"].as_string());
  }
  return line;
}

std::string scheme_line(const Json& scheme) {
  const std::string& name = scheme["scheme"].as_string();
  const std::string& type = scheme["type"].as_string();
  return cat(name == type ? type : cat(name, " → ", type), ", ",
             fixed(scheme["bits_per_weight"].as_number(), 1), " bits per weight, by ",
             scheme["plugin"].as_string());
}

std::string types_table(const Json& types, Style style) {
  using Align = Table::Align;
  Table table({{"type", Align::left},
               {"tensors", Align::right},
               {"parameters", Align::right},
               {"bytes", Align::right},
               {"bits/weight", Align::right}});
  for (const Json& use : types.as_array()) {
    const double elements = use["parameters"].as_number();
    const double bits = elements > 0 ? use["bytes"].as_number() * 8 / elements : 0;
    table.row({use["type"].as_string(), with_commas(unsigned_of(use["tensors"])),
               with_commas(unsigned_of(use["parameters"])), with_commas(unsigned_of(use["bytes"])),
               fixed(bits, 2)});
  }
  return table.to_string(style, 2);
}

}  // namespace apr
