// apr inspect: what a model is, from its header alone.
#include <ostream>

#include "core/base/cat.h"
#include "core/formats/apr/classical.h"
#include "core/runtime/model.h"
#include "core/text/tokenizer.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/model_facts.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/requantize.h"
#include "orchestrator/stages/type_report.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "inspect";
  info.summary = "show what a model is: architecture, size, types, history";
  info.details =
      "Reads the header, the metadata and the tensor index, never the weights: it takes no longer "
      "for a large model. `apr validate` reads everything. Version 1 .apr files (classical models) "
      "are described by their header.";
  info.params.push_back(model_param());
  info.params.push_back(
      flag_param("quantization", "show the element types with their counts and sizes"));
  info.examples = {{"apr inspect tiny.apr", "the facts"},
                   {"apr inspect tiny-int4.apr --quantization", "which types, and how many bits"},
                   {"apr inspect tiny.apr --json", "for other programs"}};
  return info;
}

Json tokenizer_kind(const Package& package) {
  if (const auto table = package.tokenizer_table(); !table.empty()) {
    const auto tokenizer = Tokenizer::from_binary(table, package.path());
    return tokenizer ? Json(tokenizer->kind()) : Json("unreadable");
  }
  if (package.file("tokenizer.json") != nullptr) return Json("tokenizer.json");
  if (!has_tokenizer(package)) return Json();
  return Json(package.file("vocab.json") != nullptr ? "vocab.json and merges.txt" : "vocab.txt");
}

std::uint64_t size_of(const Package& package) {
  const auto status = file_status(package.path());
  if (status && status->kind == FileKind::file) return status->size;
  return total_bytes(types_of(package));
}

/// The type most of the weights have, when it is a quantized one.
std::string main_quantized_type(const Json& types) {
  const Json* largest = nullptr;
  for (const Json& use : types.as_array()) {
    if (largest == nullptr ||
        use["parameters"].as_integer() > (*largest)["parameters"].as_integer()) {
      largest = &use;
    }
  }
  if (largest == nullptr) return {};
  const auto type = type_from_name((*largest)["type"].as_string());
  return type && traits(*type).quantized ? std::string(name_of(*type)) : std::string();
}

Json quantization_of(const Json& types) {
  const std::string name = main_quantized_type(types);
  if (name.empty()) return {};
  const Type type = *type_from_name(name);
  return Json::object({{"type", name},
                       {"block_size", traits(type).block_elements},
                       {"bits_per_weight", bits_per_element(type)}});
}

Result<Outcome> classical_report(const FileMapping& mapping) {
  APR_ASSIGN(const ClassicalHeader header, read_classical_header(mapping.bytes(), mapping.path()));
  return Outcome{.report = Json::object(
                     {{"path", mapping.path()},
                      {"format", "apr"},
                      {"format_version", cat(header.major, ".", header.minor)},
                      {"model_type", header.model_type_name},
                      {"size_bytes", std::uint64_t{mapping.bytes().size()}},
                      {"metadata_bytes", header.metadata_size},
                      {"payload_bytes", header.payload_size},
                      {"uncompressed_bytes", header.uncompressed_size},
                      {"compression", header.compression_name},
                      {"encrypted", header.is_encrypted},
                      {"signed", header.is_signed},
                      {"quality_score", header.quality == 0 ? Json() : Json(int{header.quality})},
                      {"checksum", header.crc_matches ? "valid" : "wrong"}})};
}

class Inspect final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const std::string& path = context.params.text("model");
    if (looks_like_apr(path)) {
      APR_ASSIGN(const auto mapping, FileMapping::open(path));
      if (is_classical_apr(mapping->bytes())) return classical_report(*mapping);
    }
    APR_ASSIGN(const Package package, open_any(context, path));
    Json report =
        Json::object({{"path", path}, {"format", package.format()}, {"name", model_name(package)}});
    const Json facts = model_facts(package);
    for (const auto& [key, value] : facts.as_object()) report.set(key, value);
    const Json types = types_as_json(types_of(package));
    report.set("parameters", package.parameter_count());
    report.set("tensors", std::uint64_t{package.tensors().size()});
    report.set("types", types);
    report.set("quantization", quantization_of(types));
    report.set("size_bytes", size_of(package));
    report.set("tokenizer", tokenizer_kind(package));
    report.set("chat_template", has_chat_template(package));
    report.set("synthetic", package.synthetic());
    report.set("content_root",
               package.content_root() ? Json(package.content_root()->hex()) : Json());
    report.set("trust_problem",
               package.trust_problem().empty() ? Json() : Json(package.trust_problem()));
    report.set("lineage", lineage_as_json(package));
    report.set("lineage_summary", lineage_line(package));
    if (context.params.flag("quantization")) report.set("show_types", true);
    return Outcome{.report = std::move(report)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    if (report.contains("payload_bytes")) {
      print_v1(report, out, style);
      return;
    }
    if (report["synthetic"].as_boolean()) {
      out << style.yellow("Synthetic: the weights are made up, not trained.") << "\n";
    }
    out << labelled(lines(report, style), style);
    if (report["show_types"].as_boolean()) print_types(report, out, style);
  }

 private:
  static std::string number(const Json& value) {
    return value.is_null() ? "unknown"
                           : with_commas(static_cast<std::uint64_t>(value.as_integer()));
  }

  static std::string encoder_line(const Json& encoder) {
    std::string line = cat(number(encoder["num_layers"]), " layers");
    if (!encoder["num_mel_bins"].is_null()) {
      line += cat(", ", number(encoder["num_mel_bins"]), " mel bands");
    }
    if (!encoder["max_states"].is_null()) {
      line += cat(", ", number(encoder["max_states"]), " states");
    }
    return line;
  }

  static std::string heads_line(const Json& report) {
    std::string line = number(report["num_heads"]);
    if (report["num_kv_heads"] != report["num_heads"]) {
      line += cat(" (", number(report["num_kv_heads"]), " KV)");
    }
    if (!report["head_dim"].is_null()) line += cat(" × ", number(report["head_dim"]));
    return line;
  }

  static std::vector<std::pair<std::string, std::string>> lines(const Json& report, Style style) {
    const auto text = [&](std::string_view key, const char* otherwise) {
      return report[key].is_null() ? std::string(otherwise) : printable(report[key].as_string());
    };
    std::vector<std::pair<std::string, std::string>> list = {
        {"Model", style.bold(text("name", "unnamed"))},
        {"Architecture", text("architecture", "unknown")},
        {"Parameters", parameters_text(report["parameters"])}};
    const auto known = [&](const char* label, std::string_view key, std::string value) {
      if (!report[key].is_null()) list.emplace_back(label, std::move(value));
    };
    known("Encoder", "encoder", encoder_line(report["encoder"]));
    known(report["encoder"].is_null() ? "Layers" : "Decoder", "num_layers",
          report["encoder"].is_null() ? number(report["num_layers"])
                                      : cat(number(report["num_layers"]), " layers"));
    known("Hidden", "hidden_size", number(report["hidden_size"]));
    known("Heads", "num_heads", heads_line(report));
    known("Vocab", "vocab_size", number(report["vocab_size"]));
    known("Context", "max_position_embeddings", number(report["max_position_embeddings"]));
    known("Head", "tied_embeddings",
          report["tied_embeddings"].as_boolean() ? "tied to the embedding" : "own weights");
    const std::vector<std::pair<std::string, std::string>> rest = {
        {"Types", types_line(report["types"])},
        {"Size", bytes_text(report["size_bytes"])},
        {"Tokenizer", text("tokenizer", "none")},
        {"Chat template", report["chat_template"].as_boolean() ? "yes" : "no"}};
    list.insert(list.end(), rest.begin(), rest.end());
    const bool is_apr = report["format"].as_string() == "apr";
    if (is_apr) {
      list.emplace_back("Content root", trust_line(report));
    } else {
      list.emplace_back("Format", report["format"].as_string());
    }
    const std::string& lineage = report["lineage_summary"].as_string();
    list.emplace_back("Lineage", lineage.empty() ? "none" : printable(lineage));
    return list;
  }

  static std::string trust_line(const Json& report) {
    if (!report["content_root"].is_null()) return report["content_root"].as_string();
    const std::string& problem = report["trust_problem"].as_string();
    return problem.empty() ? "none: no trust section" : cat("none: ", printable(problem));
  }

  static void print_types(const Json& report, std::ostream& out, Style style) {
    const Json& quantization = report["quantization"];
    out << "\n";
    if (quantization.is_null()) {
      out << "Not quantized.\n";
    } else {
      out << "Type: " << style.bold(quantization["type"].as_string())
          << ", block size: " << quantization["block_size"].as_integer()
          << ", bits/weight: " << fixed(quantization["bits_per_weight"].as_number(), 1) << "\n";
    }
    out << "\n" << types_table(report["types"], style);
  }

  static void print_v1(const Json& report, std::ostream& out, Style style) {
    const auto yes_or_no = [&](std::string_view key) {
      return report[key].as_boolean() ? std::string("yes") : std::string("no");
    };
    const bool valid = report["checksum"].as_string() == "valid";
    out << labelled({{"Format", cat(".apr version ", report["format_version"].as_string(),
                                    " (classical model)")},
                     {"Model type", report["model_type"].as_string()},
                     {"Size", bytes_text(report["size_bytes"])},
                     {"Payload", cat(bytes_text(report["payload_bytes"]),
                                     ", compression: ", report["compression"].as_string())},
                     {"Encrypted", yes_or_no("encrypted")},
                     {"Signed", yes_or_no("signed")},
                     {"Quality", report["quality_score"].is_null()
                                     ? std::string("not rated")
                                     : cat(report["quality_score"].as_integer(), "/100")},
                     {"Checksum", valid ? style.green("valid") : style.red("wrong")}},
                    style);
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_inspect() {
  return std::make_unique<Inspect>();
}

}  // namespace apr
