// The filters, one function each; the table is in filter_table.cpp.
#pragma once

#include "core/text/jinja/builtins.h"

namespace apr::jinja::filters {

// text_filters.cpp
Result<Value> trim(const Call& call);
Result<Value> upper(const Call& call);
Result<Value> lower(const Call& call);
Result<Value> capitalize(const Call& call);
Result<Value> title(const Call& call);
Result<Value> replace(const Call& call);
Result<Value> string(const Call& call);
Result<Value> safe(const Call& call);
Result<Value> to_int(const Call& call);
Result<Value> to_float(const Call& call);
Result<Value> absolute(const Call& call);
Result<Value> round(const Call& call);
Result<Value> indent(const Call& call);
Result<Value> format(const Call& call);
Result<Value> tojson(const Call& call);
Result<Value> wordcount(const Call& call);

// more_filters.cpp
Result<Value> batch(const Call& call);
Result<Value> slice(const Call& call);
Result<Value> center(const Call& call);
Result<Value> truncate(const Call& call);
Result<Value> escape(const Call& call);
Result<Value> urlencode(const Call& call);
Result<Value> filesizeformat(const Call& call);
Result<Value> from_json_text(const Call& call);

// sequence_filters.cpp
Result<Value> length(const Call& call);
Result<Value> fallback(const Call& call);
Result<Value> join(const Call& call);
Result<Value> first(const Call& call);
Result<Value> last(const Call& call);
Result<Value> list(const Call& call);
Result<Value> items(const Call& call);
Result<Value> select(const Call& call);
Result<Value> reject(const Call& call);
Result<Value> selectattr(const Call& call);
Result<Value> rejectattr(const Call& call);
Result<Value> map(const Call& call);
Result<Value> sort(const Call& call);
Result<Value> unique(const Call& call);
Result<Value> reverse(const Call& call);
Result<Value> groupby(const Call& call);
Result<Value> dictsort(const Call& call);
Result<Value> sum(const Call& call);
Result<Value> min(const Call& call);
Result<Value> max(const Call& call);
Result<Value> attr(const Call& call);

}  // namespace apr::jinja::filters
