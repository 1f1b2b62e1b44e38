// How far two tensors of the same shape are from one another.
//
// Sums are taken in double over pieces of rows whose size depends on the shape alone and joined in
// order, so that the result is the same for any number of threads.
#include "orchestrator/stages/compare_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/tensor/codec.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/parallel.h"

namespace apr {

namespace {

constexpr std::uint64_t kPieceElements = 256 * 1024;
constexpr std::size_t kPieceBytes = std::size_t{4} << 20;
constexpr std::size_t kRun = 32;

struct Part {
  TensorDifference found;
  double square_a = 0;
  double square_b = 0;
  double square_difference = 0;
  double product = 0;

  void add_row(std::span<const float> a, std::span<const float> b, std::uint64_t first) {
    for (std::size_t begin = 0; begin < a.size(); begin += kRun) {
      const std::size_t count = std::min(kRun, a.size() - begin);
      add_run(a.subspan(begin, count), b.subspan(begin, count), first + begin);
    }
  }

  void join(const Part& other) {
    found.different += other.found.different;
    found.not_comparable += other.found.not_comparable;
    if (other.found.max_abs > found.max_abs) {
      found.max_abs = other.found.max_abs;
      found.at = other.found.at;
      found.a = other.found.a;
      found.b = other.found.b;
    }
    found.block_ratio = std::max(found.block_ratio, other.found.block_ratio);
    square_a += other.square_a;
    square_b += other.square_b;
    square_difference += other.square_difference;
    product += other.product;
  }

 private:
  void add_run(std::span<const float> a, std::span<const float> b, std::uint64_t first) {
    double largest = 0;
    double largest_difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double x = a[i];
      const double y = b[i];
      if (!std::isfinite(x) || !std::isfinite(y)) {
        const bool same = x == y || (std::isnan(x) && std::isnan(y));
        found.different += same ? 0 : 1;
        found.not_comparable += same ? 0 : 1;
        continue;
      }
      const double apart = std::fabs(x - y);
      found.different += x == y ? 0 : 1;
      if (apart > found.max_abs) {
        found.max_abs = apart;
        found.at = first + i;
        found.a = x;
        found.b = y;
      }
      largest = std::max(largest, std::fabs(x));
      largest_difference = std::max(largest_difference, apart);
      square_a += x * x;
      square_b += y * y;
      square_difference += apart * apart;
      product += x * y;
    }
    if (largest_difference > 0) {
      const double ratio =
          largest > 0 ? largest_difference / largest : std::numeric_limits<double>::infinity();
      found.block_ratio = std::max(found.block_ratio, ratio);
    }
  }
};

TensorDifference finished(const Part& all, std::uint64_t elements) {
  TensorDifference result = all.found;
  result.elements = elements;
  if (all.square_difference > 0) {
    result.relative_rms = all.square_a > 0 ? std::sqrt(all.square_difference / all.square_a)
                                           : std::numeric_limits<double>::infinity();
  }
  if (all.square_a > 0 && all.square_b > 0) {
    // Rounding may carry it a last digit beyond.
    result.cosine =
        std::clamp(all.product / (std::sqrt(all.square_a) * std::sqrt(all.square_b)), -1.0, 1.0);
    if (all.square_difference == 0) result.cosine = 1;
  } else {
    result.cosine = all.square_a == all.square_b ? 1 : 0;
  }
  return result;
}

}  // namespace

bool same_storage(const TensorView& a, const TensorView& b, unsigned threads) {
  if (a.type != b.type || a.shape != b.shape || a.data.size() != b.data.size()) return false;
  if (a.data.data() == b.data.data()) return true;
  const std::size_t pieces = (a.data.size() + kPieceBytes - 1) / kPieceBytes;
  const Status equal = parallel_pieces(threads, pieces, [&](std::size_t i) -> Status {
    const std::size_t begin = i * kPieceBytes;
    const std::size_t size = std::min(kPieceBytes, a.data.size() - begin);
    if (std::memcmp(a.data.data() + begin, b.data.data() + begin, size) == 0) return {};
    return make_error(ErrorCode::validation, "differs");
  });
  return equal.ok();
}

Result<TensorDifference> compare_tensors(const TensorView& a, const TensorView& b,
                                         unsigned threads) {
  if (a.shape != b.shape) return make_error(ErrorCode::validation, "the shapes differ");
  const std::uint64_t elements = a.shape.elements();
  if (same_storage(a, b, threads)) {
    TensorDifference same;
    same.elements = elements;
    same.same_bytes = true;
    return same;
  }
  if (elements == 0) return TensorDifference{};
  const std::uint64_t columns = a.shape.columns();
  const std::uint64_t rows = a.shape.rows();
  const std::uint64_t piece = std::max<std::uint64_t>(1, kPieceElements / columns);
  const auto pieces = static_cast<std::size_t>((rows + piece - 1) / piece);
  std::vector<Part> parts(pieces);
  const Status done = parallel_pieces(threads, pieces, [&](std::size_t i) -> Status {
    APR_TRY(check_interrupted());
    std::vector<float> row_a(static_cast<std::size_t>(columns));
    std::vector<float> row_b(static_cast<std::size_t>(columns));
    const std::uint64_t last = std::min(rows, (i + 1) * piece);
    for (std::uint64_t r = i * piece; r < last; ++r) {
      APR_TRY(decode_row(a, r, row_a));
      APR_TRY(decode_row(b, r, row_b));
      parts[i].add_row(row_a, row_b, r * columns);
    }
    return {};
  });
  APR_TRY(done);
  Part all;
  for (const Part& part : parts) all.join(part);
  return finished(all, elements);
}

Json difference_as_json(const TensorDifference& difference, const Shape& shape) {
  Json json = Json::object({{"different", difference.different},
                            {"elements", difference.elements},
                            {"max_abs", difference.max_abs},
                            {"relative_rms", difference.relative_rms},
                            {"cosine", difference.cosine}});
  if (difference.max_abs > 0) {
    Json at = Json::array();
    std::uint64_t rest = difference.at;
    std::uint64_t stride = shape.elements();
    for (const std::uint64_t dim : shape.dims()) {
      stride /= dim;
      at.push_back(rest / stride);
      rest %= stride;
    }
    json.set("at", std::move(at));
    json.set("a", difference.a);
    json.set("b", difference.b);
  }
  if (difference.not_comparable > 0) json.set("not_comparable", difference.not_comparable);
  return json;
}

}  // namespace apr
