#include "core/base/error.h"

#include "core/base/cat.h"

namespace apr {

std::string_view name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::generic:
      return "generic";
    case ErrorCode::usage:
      return "usage";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::format:
      return "format";
    case ErrorCode::validation:
      return "validation";
    case ErrorCode::load:
      return "load";
    case ErrorCode::io:
      return "io";
    case ErrorCode::inference:
      return "inference";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::network:
      return "network";
    case ErrorCode::http_not_found:
      return "http_not_found";
    case ErrorCode::interrupted:
      return "interrupted";
  }
  return "unknown";
}

std::string Error::to_string() const {
  std::string text = context.empty() ? message : cat(context, ": ", message);
  if (!hint.empty()) text += cat("; ", hint);
  return text;
}

Error Error::within(std::string_view where) && {
  const std::string_view told = context;
  if (!where.empty() && told.starts_with(where) &&
      (told.size() == where.size() || told.substr(where.size()).starts_with(": "))) {
    return std::move(*this);
  }
  context = context.empty() ? std::string(where) : cat(where, ": ", context);
  return std::move(*this);
}

}  // namespace apr
