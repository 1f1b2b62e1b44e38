// What the numbers of a tensor look like.
//
// Sums are taken in double over pieces of rows whose size depends on the shape alone, and the
// pieces are joined in order, so that the result is the same for any number of threads. Mean and
// squared deviation of two pieces are joined as Chan, Golub and LeVeque (1979) do, which does not
// lose the small difference of two large sums.
#include "orchestrator/stages/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/tensor/codec.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/parallel.h"

namespace apr {

namespace {

constexpr std::uint64_t kPieceElements = 256 * 1024;

struct Moments {
  std::uint64_t count = 0;  ///< finite elements
  double mean = 0;
  double squares = 0;  ///< sum of squared deviations from the mean
  double square_sum = 0;
  double minimum = std::numeric_limits<double>::infinity();
  double maximum = -std::numeric_limits<double>::infinity();
  std::uint64_t zeros = 0;
  std::uint64_t nans = 0;
  std::uint64_t infinities = 0;
  std::uint64_t zero_rows = 0;

  void add_row(std::span<const float> row) {
    Moments part;
    double sum = 0;
    for (const float value : row) {
      if (std::isnan(value)) {
        ++part.nans;
      } else if (std::isinf(value)) {
        ++part.infinities;
      } else {
        ++part.count;
        part.zeros += value == 0.0f ? 1 : 0;
        sum += value;
        part.square_sum += static_cast<double>(value) * value;
        part.minimum = std::min<double>(part.minimum, value);
        part.maximum = std::max<double>(part.maximum, value);
      }
    }
    if (part.count > 0) part.mean = sum / static_cast<double>(part.count);
    for (const float value : row) {
      const double apart = std::isfinite(value) ? value - part.mean : 0.0;
      part.squares += apart * apart;
    }
    part.zero_rows = !row.empty() && part.zeros == row.size() ? 1 : 0;
    join(part);
  }

  void join(const Moments& other) {
    zeros += other.zeros;
    nans += other.nans;
    infinities += other.infinities;
    zero_rows += other.zero_rows;
    square_sum += other.square_sum;
    minimum = std::min(minimum, other.minimum);
    maximum = std::max(maximum, other.maximum);
    if (other.count == 0) return;
    const auto a = static_cast<double>(count);
    const auto b = static_cast<double>(other.count);
    const double apart = other.mean - mean;
    mean += apart * b / (a + b);
    squares += other.squares + apart * apart * a * b / (a + b);
    count += other.count;
  }
};

}  // namespace

Result<TensorStatistics> statistics_of(const TensorEntry& entry, unsigned threads) {
  const Shape& shape = entry.view.shape;
  TensorStatistics statistics;
  statistics.elements = shape.elements();
  if (statistics.elements == 0) return statistics;
  const std::uint64_t columns = shape.columns();
  statistics.rows = shape.rows();
  const std::uint64_t piece = std::max<std::uint64_t>(1, kPieceElements / columns);
  const auto pieces = static_cast<std::size_t>((statistics.rows + piece - 1) / piece);
  std::vector<Moments> parts(pieces);
  const Status done = parallel_pieces(threads, pieces, [&](std::size_t i) -> Status {
    APR_TRY(check_interrupted());
    std::vector<float> row(static_cast<std::size_t>(columns));
    const std::uint64_t last = std::min(statistics.rows, (i + 1) * piece);
    for (std::uint64_t r = i * piece; r < last; ++r) {
      APR_TRY(decode_row(entry.view, r, row));
      parts[i].add_row(row);
    }
    return {};
  });
  APR_TRY(done);
  Moments all;
  for (const Moments& part : parts) all.join(part);
  statistics.zeros = all.zeros;
  statistics.nans = all.nans;
  statistics.infinities = all.infinities;
  statistics.zero_rows = shape.rank() >= 2 ? all.zero_rows : 0;
  statistics.norm = std::sqrt(all.square_sum);
  if (all.count > 0) {
    statistics.mean = all.mean;
    statistics.deviation = std::sqrt(all.squares / static_cast<double>(all.count));
    statistics.minimum = all.minimum;
    statistics.maximum = all.maximum;
  }
  return statistics;
}

Json statistics_as_json(const TensorStatistics& statistics) {
  return Json::object({{"mean", statistics.mean},
                       {"std", statistics.deviation},
                       {"min", statistics.minimum},
                       {"max", statistics.maximum},
                       {"l2_norm", statistics.norm},
                       {"zeros", statistics.zeros},
                       {"nans", statistics.nans},
                       {"infinities", statistics.infinities}});
}

}  // namespace apr
