#include "core/text/jinja/builtins.h"

#include "core/base/cat.h"

namespace apr::jinja {

Result<std::vector<const Value*>> bind(const Call& call, std::span<const std::string_view> names,
                                       std::size_t required) {
  if (call.arguments.values.size() > names.size()) {
    if (names.empty()) return call.fail(cat(call.name, " takes no arguments"));
    return call.fail(cat(call.name, " takes at most ", names.size(),
                         names.size() == 1 ? " argument, not " : " arguments, not ",
                         call.arguments.values.size()));
  }
  std::vector<const Value*> bound(names.size(), nullptr);
  for (std::size_t i = 0; i < call.arguments.values.size(); ++i)
    bound[i] = &call.arguments.values[i];
  for (const auto& [name, value] : call.arguments.named) {
    std::size_t i = 0;
    while (i < names.size() && names[i] != name) ++i;
    if (i == names.size()) return call.fail(cat(call.name, " has no argument ", name));
    if (bound[i] != nullptr) return call.fail(cat("the argument ", name, " is given twice"));
    bound[i] = &value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (bound[i] == nullptr) return call.fail(cat(call.name, " needs the argument ", names[i]));
  }
  return bound;
}

}  // namespace apr::jinja
