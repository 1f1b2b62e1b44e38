#include "tests/unit/template/fixtures.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

namespace apr::test {

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string oracle_text(const std::string& name) {
  return file_text(std::string(APR_SOURCE_DIR "/tests/unit/template/oracle/") + name);
}

Json oracle_json(const std::string& name) {
  auto json = parse_json(oracle_text(name), name);
  if (!json) FAIL(json.error().to_string());
  return *json;
}

Result<MarkedText> render_dialog(const ChatTemplate& chat, const Json& dialog) {
  ChatTemplate::Variables variables;
  variables.bos_token = dialog["bos_token"].as_string();
  variables.eos_token = dialog["eos_token"].as_string();
  variables.add_generation_prompt = dialog["add_generation_prompt"].as_boolean();
  variables.tools = dialog["tools"];
  variables.extra = dialog["extra"];
  return chat.render(dialog["messages"], variables, {});
}

Result<MarkedText> render(const std::string& source, const Json& variables,
                          const ChatTemplate::Limits& limits) {
  APR_ASSIGN(const auto chat, ChatTemplate::parse(source, "test.jinja"));
  ChatTemplate::Variables all;
  all.extra = variables;
  return chat.render(Json::array(), all, limits);
}

std::string rendered(const std::string& source, const Json& variables) {
  const auto text = render(source, variables);
  return text ? text->text() : "error: " + text.error().to_string();
}

std::string trusted_part(const MarkedText& text) {
  std::string out;
  for (const auto& span : text.spans()) {
    if (span.trusted) out += text.text().substr(span.begin, span.end - span.begin);
    out.push_back('\0');
  }
  return out;
}

}  // namespace apr::test
