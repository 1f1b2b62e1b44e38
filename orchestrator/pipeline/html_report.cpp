#include "orchestrator/pipeline/html_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"

namespace apr::pipeline {
namespace {

std::string tag(std::string_view name, std::string_view attributes, std::string_view inner) {
  return cat("<", name, attributes.empty() ? "" : " ", attributes, ">", inner, "</", name, ">");
}

std::string badge(std::string_view tone, std::string_view text) {
  return cat("<span class=\"badge ", tone, "\">", escape_html(text), "</span>");
}

std::string tile(std::string_view figure, std::string_view label) {
  return cat("<div class=\"tile\"><b>", escape_html(figure), "</b><span>", escape_html(label),
             "</span></div>");
}

std::string when(std::int64_t seconds) {
  const std::time_t time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 64> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts);
  return std::string(text.data(), size);
}

std::string bytes(const Json& value) {
  return human_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(value.as_integer(), 0)));
}

std::string_view tone_of(const Json& stage) {
  const std::string& state = stage["state"].as_string();
  if (stage["allowed"].as_boolean()) return "warn";
  if (state == "ran") return "good";
  if (state == "cached") return "calm";
  if (state == "failed") return "bad";
  return "mute";
}

std::uint64_t output_bytes(const Json& stage) {
  std::uint64_t sum = 0;
  for (const auto& [port, output] : stage["outputs"].as_object()) {
    sum += static_cast<std::uint64_t>(output["size"].as_integer());
  }
  return sum;
}

std::string plain(const Json& value) {
  if (value.is_string()) return value.as_string();
  if (value.is_number() && !value.is_integer()) return significant(value.as_number(), 6);
  return value.dump();
}

/// Members that are plain values as a list; the others as JSON behind a fold.
std::string evidence(const Json& object) {
  std::string rows;
  std::string folded;
  for (const auto& [key, value] : object.as_object()) {
    if (value.is_object() || value.is_array()) {
      folded += cat("<details class=\"more\"><summary>", escape_html(key), "</summary><pre>",
                    escape_html(value.dump(2)), "</pre></details>");
    } else {
      rows += cat("<dt>", escape_html(key), "</dt><dd>", escape_html(plain(value)), "</dd>");
    }
  }
  return cat(rows.empty() ? "" : tag("dl", "", rows), folded);
}

std::string gate_html(const Json& gate) {
  const bool passed = gate["passed"].as_boolean();
  std::string out =
      cat("<div class=\"gate", passed ? "" : " no", "\">",
          badge(passed ? "good" : "bad", passed ? "✓ holds" : "✗ failed"), " <b>",
          escape_html(gate["gate"].as_string()), "</b> ", escape_html(gate["message"].as_string()));
  if (gate["evidence"].size() > 0) {
    out += cat("<details><summary>evidence</summary>", evidence(gate["evidence"]), "</details>");
  }
  return out + "</div>";
}

class Page {
 public:
  explicit Page(const Json& run) : run_(run), stages_(run["stages"].as_array()) {}

  std::string html() const {
    const std::string title = cat(run_["pipeline"].as_string(), " · ", run_["state"].as_string());
    return cat(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "style-src 'unsafe-inline'\"><meta name=\"generator\" content=\"apr-pipeline ",
        APR_VERSION, "\"><title>", escape_html(title), "</title><style>", kReportStyle,
        "</style></head><body><main>", head(), tiles(), failure(), graph(), tables(), outputs(),
        gates(), stage_list(), lineage(), "<footer>apr ", escape_html(run_["apr"].as_string()),
        ", run ", escape_html(run_["id"].as_string()),
        ". This file needs nothing else: no network, no script.</footer></main></body></html>\n");
  }

 private:
  std::string head() const {
    const std::string& state = run_["state"].as_string();
    const std::string_view tone = state == "ok"                                  ? "good"
                                  : state == "failed" || state == "killed"       ? "bad"
                                  : state == "interrupted" || state == "running" ? "warn"
                                                                                 : "mute";
    const std::string word = state == "ok" ? "succeeded" : state;
    return cat("<header><h1>", escape_html(run_["pipeline"].as_string()), " ", badge(tone, word),
               "</h1><p>", escape_html(run_["description"].as_string()),
               "</p><p class=\"soft small\">", escape_html(when(run_["started"].as_integer())),
               " · apr ", escape_html(run_["apr"].as_string()), "</p></header>");
  }

  std::size_t count(std::string_view state) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        stages_, [&](const Json& stage) { return stage["state"].as_string() == state; }));
  }

  std::string tiles() const {
    std::size_t held = 0;
    std::size_t all = 0;
    std::int64_t peak = 0;
    double cpu = 0;
    for (const Json& stage : stages_) {
      for (const Json& gate : stage["gates"].as_array()) {
        ++all;
        held += gate["passed"].as_boolean() ? 1 : 0;
      }
      peak = std::max(peak, stage["peak_memory_bytes"].as_integer());
      if (stage["state"].as_string() == "ran") cpu += stage["cpu_seconds"].as_number();
    }
    std::string out =
        cat("<div class=\"tiles\">", tile(human_seconds(run_["seconds"].as_number()), "wall time"),
            tile(cat(count("ran"), " + ", count("cached")), "stages ran + cached"));
    if (all > 0) out += tile(cat(held, " of ", all), "gates hold");
    if (cpu > 0) out += tile(human_seconds(cpu), "processor time of stages");
    if (peak > 0) out += tile(bytes(Json(peak)), "most memory of a stage");
    const std::size_t bad = count("failed");
    if (bad > 0) out += tile(cat(bad), "failed");
    const std::size_t left = count("skipped") + count("cancelled");
    if (left > 0) out += tile(cat(left), "skipped or cancelled");
    return out + "</div>";
  }

  std::string failure() const {
    std::string out;
    for (const Json& stage : stages_) {
      if (!stage["error"].is_object() || stage["allowed"].as_boolean()) continue;
      out += error_html(stage["error"]);
    }
    return out.empty() ? "" : cat("<h2>What stopped it</h2>", out);
  }

  static std::string error_html(const Json& error) {
    std::string out =
        cat("<div class=\"error\"><b>", escape_html(error["message"].as_string()), "</b>");
    if (!error["context"].as_string().empty()) {
      out +=
          cat("<br><span class=\"small\">", escape_html(error["context"].as_string()), "</span>");
    }
    if (!error["hint"].as_string().empty()) {
      out += cat("<br><span class=\"small\">", escape_html(error["hint"].as_string()), "</span>");
    }
    return out + "</div>";
  }

  std::string graph() const {
    const std::string drawn = graph_svg(run_);
    return drawn.empty() ? "" : cat("<h2>Stages</h2>", drawn);
  }

  std::string tables() const {
    std::string out;
    for (const Json& table : run_["tables"].as_array()) {
      const JsonArray& columns = table["columns"].as_array();
      std::string head_row;
      for (std::size_t i = 0; i < columns.size(); ++i) {
        head_row +=
            tag("th", i == 0 ? "" : "class=\"num\"", escape_html(columns[i]["title"].as_string()));
      }
      std::string body;
      for (const Json& row : table["rows"].as_array()) {
        std::string cells;
        for (std::size_t i = 0; i < row.as_array().size() && i < columns.size(); ++i) {
          const Json& cell = row.as_array()[i];
          cells += tag("td", i == 0 ? "" : "class=\"num\"",
                       i == 0 ? tag("b", "", escape_html(cell.as_string()))
                              : escape_html(shown_figure(cell, columns[i]["unit"].as_string())));
        }
        body += tag("tr", "", cells);
      }
      out += cat("<h2>", escape_html(table["title"].as_string()), "</h2><div class=\"card\">",
                 "<div class=\"scroll\"><table><thead><tr>", head_row, "</tr></thead><tbody>", body,
                 "</tbody></table></div>", chart_svg(table), "</div>");
    }
    return out;
  }

  std::string outputs() const {
    const JsonObject& published = run_["outputs"].as_object();
    if (published.empty()) return {};
    std::int64_t most = 1;
    for (const auto& [name, output] : published) {
      most = std::max(most, output["size"].as_integer());
    }
    std::string rows;
    for (const auto& [name, output] : published) {
      const double part =
          static_cast<double>(output["size"].as_integer()) / static_cast<double>(most);
      rows += cat("<tr><td><b>", escape_html(name), "</b><br><span class=\"small soft hash\">",
                  escape_html(output["path"].as_string()), "</span></td><td class=\"num\">",
                  escape_html(bytes(output["size"])), "<span class=\"bar\"><i style=\"width:",
                  fixed(std::clamp(part, 0.0, 1.0) * 100, 1), "%\"></i></span></td></tr>");
    }
    return cat("<h2>Outputs</h2><div class=\"card\"><table>", rows, "</table></div>");
  }

  std::string gates() const {
    std::string rows;
    for (const Json& stage : stages_) {
      for (const Json& gate : stage["gates"].as_array()) {
        const bool passed = gate["passed"].as_boolean();
        rows += cat("<tr><td>", badge(passed ? "good" : "bad", passed ? "✓" : "✗"), "</td><td><b>",
                    escape_html(stage["name"].as_string()), "</b><br><span class=\"soft small\">",
                    escape_html(gate["gate"].as_string()), "</span></td><td>",
                    escape_html(gate["message"].as_string()), "</td></tr>");
      }
    }
    if (rows.empty()) return {};
    return cat("<h2>Gates</h2><div class=\"card scroll\"><table class=\"gates\">", rows,
               "</table></div>");
  }

  std::string stage_list() const {
    std::string out = "<h2>Stage by stage</h2>";
    for (std::size_t i = 0; i < stages_.size(); ++i) out += stage_html(stages_[i], i);
    return out;
  }

  std::string stage_html(const Json& stage, std::size_t index) const {
    const std::string& state = stage["state"].as_string();
    const bool failed = state == "failed";
    std::string out =
        cat("<details class=\"stage\" id=\"stage-", index, "\"", failed ? " open" : "",
            "><summary><h3>", escape_html(stage["name"].as_string()), "</h3>",
            badge(tone_of(stage), stage["allowed"].as_boolean() ? "failed, allowed" : state),
            "<span class=\"soft small\">", escape_html(stage["uses"].as_string()));
    if (state == "ran" || failed) {
      out += cat(" · ", escape_html(human_seconds(stage["seconds"].as_number())));
    }
    const std::uint64_t made = output_bytes(stage);
    const std::int64_t read = stage["input_bytes"].as_integer();
    if (made > 0 && read > 0) {
      out += cat(" · ", escape_html(bytes(Json(read))), " → ", escape_html(human_bytes(made)));
    } else if (made > 0) {
      out += cat(" · ", escape_html(human_bytes(made)));
    }
    out += "</span></summary><div>";
    if (!stage["description"].as_string().empty()) {
      out += tag("p", "", escape_html(stage["description"].as_string()));
    }
    out += timeline(stage);
    if (stage["error"].is_object()) out += error_html(stage["error"]);
    for (const Json& gate : stage["gates"].as_array()) out += gate_html(gate);
    out += facts(stage);
    if (!stage["printed"].as_string().empty()) {
      out += cat("<details class=\"more\" open><summary>printed</summary><pre>",
                 escape_html(stage["printed"].as_string()), "</pre></details>");
    }
    if (stage["report"].size() > 0) {
      out += cat("<details class=\"more\"><summary>report</summary><pre>",
                 escape_html(stage["report"].dump(2)), "</pre></details>");
    }
    return out + "</div></details>";
  }

  std::string timeline(const Json& stage) const {
    const double whole = run_["seconds"].as_number();
    const double seconds = stage["seconds"].as_number();
    if (whole <= 0 || seconds <= 0 || stage["state"].as_string() == "cached") return {};
    const double left = std::clamp(stage["started_s"].as_number() / whole, 0.0, 1.0) * 100;
    const double width = std::clamp(seconds / whole * 100, 0.0, 100 - left);
    return cat("<div class=\"time\" title=\"when it ran\"><i style=\"left:", fixed(left, 2),
               "%;width:", fixed(width, 2), "%\"></i></div>");
  }

  static std::string facts(const Json& stage) {
    std::string rows;
    const auto row = [&](std::string_view label, const std::string& text, bool mono = false) {
      if (text.empty()) return;
      rows += cat("<dt>", escape_html(label), "</dt><dd", mono ? " class=\"mono hash\"" : "", ">",
                  escape_html(text), "</dd>");
    };
    row("why", stage["reason"].as_string());
    if (stage["attempts"].as_integer() > 1) row("attempts", stage["attempts"].dump());
    if (stage["work_seconds"].as_number() > 0) {
      row("work", cat(human_seconds(stage["work_seconds"].as_number()), ", processors ",
                      human_seconds(stage["cpu_seconds"].as_number())));
    }
    if (stage["peak_memory_bytes"].as_integer() > 0) {
      row("memory", cat(bytes(stage["peak_memory_bytes"]), " at most"));
    }
    if (stage["input_bytes"].as_integer() > 0) row("read", bytes(stage["input_bytes"]));
    for (const auto& [port, output] : stage["outputs"].as_object()) {
      row(port, cat(bytes(output["size"]), ", sha256 ", output["sha256"].as_string()), true);
    }
    std::string after;
    for (const Json& name : stage["after"].as_array()) {
      after += cat(after.empty() ? "" : ", ", name.as_string());
    }
    row("after", after);
    row("key", stage["key"].as_string(), true);
    return rows.empty() ? "" : tag("dl", "", rows);
  }

  /// From what, with what, by whom.
  std::string lineage() const {
    std::string rows;
    const auto section = [&](std::string_view title, const std::string& inner) {
      if (!inner.empty()) rows += cat("<h3>", escape_html(title), "</h3>", tag("dl", "", inner));
    };
    const auto entry = [](std::string_view name, const std::string& text, bool mono) {
      return cat("<dt>", escape_html(name), "</dt><dd", mono ? " class=\"mono hash\"" : "", ">",
                 escape_html(text), "</dd>");
    };
    std::string inner;
    for (const auto& [path, digest] : run_["inputs"].as_object()) {
      inner += entry(path, cat("sha256 ", digest.as_string()), true);
    }
    section("Inputs", inner);
    inner.clear();
    for (const auto& [name, value] : run_["params"].as_object()) {
      inner += entry(name, plain(value), false);
    }
    section("Parameters", inner);
    inner.clear();
    for (const auto& [name, plugin] : run_["plugins"].as_object()) {
      inner += entry(
          name, cat(plugin["plugin"].as_string(), ", sha256 ", plugin["sha256"].as_string()), true);
    }
    section("Plugins", inner);
    inner.clear();
    for (const auto& [name, output] : run_["outputs"].as_object()) {
      inner += entry(name, cat("sha256 ", output["sha256"].as_string()), true);
    }
    section("Outputs", inner);
    return rows.empty() ? ""
                        : cat("<h2>Where it came from</h2><div class=\"card\">", rows, "</div>");
  }

  const Json& run_;
  const JsonArray& stages_;
};

}  // namespace

std::string shown_figure(const Json& value, std::string_view unit) {
  if (value.is_string()) return value.as_string();
  if (value.is_boolean()) return value.as_boolean() ? "yes" : "no";
  if (!value.is_number() || !std::isfinite(value.as_number())) return "–";
  const double number = value.as_number();
  if (unit == "bytes" && number >= 0) return human_bytes(static_cast<std::uint64_t>(number));
  if (unit == "seconds") return human_seconds(number);
  if (unit == "percent") return cat(significant(number * 100, 4), " %");
  if (value.is_integer() && number >= 0) {
    return with_commas(static_cast<std::uint64_t>(value.as_integer()));
  }
  return significant(number, 5);
}

std::string html_report(const Json& run) {
  return Page(run).html();
}

}  // namespace apr::pipeline
