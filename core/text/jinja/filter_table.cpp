#include "core/text/jinja/filters.h"

namespace apr::jinja {
namespace {

constexpr BuiltinRow kFilters[] = {
    {"abs", filters::absolute},
    {"attr", filters::attr},
    {"capitalize", filters::capitalize},
    {"count", filters::length},
    {"d", filters::fallback},
    {"default", filters::fallback},
    {"dictsort", filters::dictsort},
    {"first", filters::first},
    {"float", filters::to_float},
    {"format", filters::format},
    {"indent", filters::indent},
    {"int", filters::to_int},
    {"items", filters::items},
    {"join", filters::join},
    {"last", filters::last},
    {"length", filters::length},
    {"list", filters::list},
    {"lower", filters::lower},
    {"map", filters::map},
    {"max", filters::max},
    {"min", filters::min},
    {"reject", filters::reject},
    {"rejectattr", filters::rejectattr},
    {"replace", filters::replace},
    {"reverse", filters::reverse},
    {"round", filters::round},
    {"safe", filters::safe},
    {"select", filters::select},
    {"selectattr", filters::selectattr},
    {"sort", filters::sort},
    {"string", filters::string},
    {"sum", filters::sum},
    {"title", filters::title},
    {"tojson", filters::tojson},
    {"trim", filters::trim},
    {"unique", filters::unique},
    {"upper", filters::upper},
    {"wordcount", filters::wordcount},
};

}  // namespace

Builtin find_filter(std::string_view name) {
  for (const BuiltinRow& row : kFilters) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace apr::jinja
