// Functions that every template can call.
#include <array>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"

namespace apr::jinja {
namespace {

Result<Value> range(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"start", "stop", "step"}, 1));
  for (const Value* value : args) {
    if (value != nullptr && !value->is_whole()) {
      return call.fail(cat("range takes whole numbers, not ", kind_name(*value)));
    }
  }
  const std::int64_t start = args[1] == nullptr ? 0 : args[0]->whole();
  const std::int64_t stop = args[1] == nullptr ? args[0]->whole() : args[1]->whole();
  const std::int64_t step = args[2] == nullptr ? 1 : args[2]->whole();
  if (step == 0) return call.fail("range: the step cannot be zero");
  constexpr std::size_t kMost = 100'000;  // as in Jinja's sandbox
  std::vector<Value> values;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (values.size() >= kMost) return call.fail(cat("range has more than ", kMost, " numbers"));
    if (!call.in.meter().step()) return call.in.limit(call.at);
    values.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::list(std::move(values));
}

Result<Value> name_space(const Call& call) {
  return call.in.new_namespace(call.arguments, call.at);
}

Result<Value> dict(const Call& call) {
  std::vector<std::pair<Value, Value>> entries;
  for (const Value& value : call.arguments.values) {
    if (!value.is_dict()) return call.fail("dict() takes a mapping or name=value");
    if (!call.in.meter().step(value.entries().size())) return call.in.limit(call.at);
    entries.insert(entries.end(), value.entries().entries().begin(),
                   value.entries().entries().end());
  }
  for (std::size_t i = 0; i < call.arguments.named.size(); ++i) {
    entries.emplace_back(call.arguments.name(i), call.arguments.named[i].second);
  }
  return Value::dict(std::move(entries));
}

Result<Value> joiner(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"sep"}));
  return call.in.new_joiner(args[0] == nullptr ? Value::trusted(", ") : *args[0], call.at);
}

Result<Value> cycler(const Call& call) {
  if (!call.arguments.named.empty() || call.arguments.values.empty()) {
    return call.fail("cycler takes one value or more");
  }
  return call.in.new_cycler(Value::list(call.arguments.values), call.at);
}

Result<Value> raise_exception(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"message"}));
  std::string message = args[0] == nullptr ? "" : to_text(*args[0], call.in.meter()).text();
  if (message.size() > 500) message.resize(500);
  Error error = call.fail(cat("the template refuses these messages: ", message));
  error.code = ErrorCode::validation;
  return error;
}

struct Date {
  std::int64_t year;
  unsigned month, day, hour, minute, second, weekday, day_of_year;
};

/// Days to year, month and day in the Gregorian calendar, by eras of 400 years that begin in March.
Date date_of(std::int64_t seconds) {
  std::int64_t days = seconds / 86400;
  std::int64_t rest = seconds % 86400;
  if (rest < 0) rest += 86400, --days;
  const std::int64_t shifted = days + 719468;
  const std::int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const auto day_of_era = static_cast<unsigned>(shifted - era * 146097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned from_march =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned month_index = (5 * from_march + 2) / 153;
  Date date{};
  date.day = from_march - (153 * month_index + 2) / 5 + 1;
  date.month = month_index < 10 ? month_index + 3 : month_index - 9;
  date.year = static_cast<std::int64_t>(year_of_era) + era * 400 + (date.month <= 2 ? 1 : 0);
  date.hour = static_cast<unsigned>(rest / 3600);
  date.minute = static_cast<unsigned>(rest / 60 % 60);
  date.second = static_cast<unsigned>(rest % 60);
  date.weekday = static_cast<unsigned>(((days + 4) % 7 + 7) % 7);
  const bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
  constexpr std::array<unsigned, 12> kBefore = {0,   31,  59,  90,  120, 151,
                                                181, 212, 243, 273, 304, 334};
  date.day_of_year = kBefore[date.month - 1] + date.day + (leap && date.month > 2 ? 1 : 0);
  return date;
}

constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};

std::string padded(std::int64_t number, std::size_t width, bool plain) {
  std::string digits = cat(number);
  if (!plain && digits.size() < width) digits.insert(0, width - digits.size(), '0');
  return digits;
}

std::optional<std::string> date_part(const Date& date, char letter, bool plain) {
  const unsigned hour12 = date.hour % 12 == 0 ? 12 : date.hour % 12;
  switch (letter) {
    case 'Y':
      return cat(date.year);
    case 'y':
      return padded(date.year % 100, 2, plain);
    case 'm':
      return padded(date.month, 2, plain);
    case 'd':
      return padded(date.day, 2, plain);
    case 'e':
      return date.day < 10 ? cat(" ", date.day) : cat(date.day);
    case 'H':
      return padded(date.hour, 2, plain);
    case 'I':
      return padded(hour12, 2, plain);
    case 'M':
      return padded(date.minute, 2, plain);
    case 'S':
      return padded(date.second, 2, plain);
    case 'C':
      return padded(date.year / 100, 2, plain);
    case 'D':
    case 'x':
      return cat(padded(date.month, 2, false), "/", padded(date.day, 2, false), "/",
                 padded(date.year % 100, 2, false));
    case 'R':
      return cat(padded(date.hour, 2, false), ":", padded(date.minute, 2, false));
    case 'c':
      return cat(kDays[date.weekday].substr(0, 3), " ", kMonths[date.month - 1].substr(0, 3), " ",
                 *date_part(date, 'e', false), " ", *date_part(date, 'T', false), " ", date.year);
    case 'f':
      return "000000";
    case 'U':  // weeks that begin on Sunday
      return padded((date.day_of_year + 6 - date.weekday) / 7, 2, plain);
    case 'W':  // weeks that begin on Monday
      return padded((date.day_of_year + 6 - (date.weekday + 6) % 7) / 7, 2, plain);
    case 'n':
      return "\n";
    case 't':
      return "\t";
    case 'j':
      return padded(date.day_of_year, 3, plain);
    case 'p':
      return date.hour < 12 ? "AM" : "PM";
    case 'A':
      return std::string(kDays[date.weekday]);
    case 'a':
      return std::string(kDays[date.weekday].substr(0, 3));
    case 'B':
      return std::string(kMonths[date.month - 1]);
    case 'b':
    case 'h':
      return std::string(kMonths[date.month - 1].substr(0, 3));
    case 'w':
      return cat(date.weekday);
    case 'u':
      return cat(date.weekday == 0 ? 7 : date.weekday);
    case 'F':
      return cat(date.year, "-", padded(date.month, 2, false), "-", padded(date.day, 2, false));
    case 'T':
    case 'X':
      return cat(padded(date.hour, 2, false), ":", padded(date.minute, 2, false), ":",
                 padded(date.second, 2, false));
    case 'Z':
      return "UTC";
    case 'z':
      return "+0000";
    case '%':
      return "%";
    default:
      return std::nullopt;
  }
}

Result<Value> strftime_now(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"format"}, 1));
  if (!args[0]->is_string()) return call.fail("strftime_now takes a format");
  const Date date = date_of(call.in.now().value_or(0));
  const MarkedText& format = args[0]->text();
  const std::string& s = format.text();
  TextBuilder out(call.in.meter());
  for (std::size_t i = 0; i < s.size();) {
    if (s[i] != '%') {
      const std::size_t percent = std::min(s.find('%', i), s.size());
      out.put_slice(format, i, percent);
      i = percent;
      continue;
    }
    const bool plain = i + 1 < s.size() && s[i + 1] == '-';
    const std::size_t letter = i + (plain ? 2 : 1);
    const auto part = letter < s.size() ? date_part(date, s[letter], plain) : std::nullopt;
    if (!part) {
      return call.fail(
          cat("strftime_now: the format ", std::string_view(s).substr(i, 3), " is not supported"));
    }
    out.put(*part, true);
    i = letter + 1;
  }
  return Value(out.take());
}

constexpr BuiltinRow kGlobals[] = {{"range", range},
                                   {"namespace", name_space},
                                   {"dict", dict},
                                   {"joiner", joiner},
                                   {"cycler", cycler},
                                   {"raise_exception", raise_exception},
                                   {"strftime_now", strftime_now}};

}  // namespace

Builtin find_global(std::string_view name) {
  for (const BuiltinRow& row : kGlobals) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

}  // namespace apr::jinja
