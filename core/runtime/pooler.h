// The pooling of one text's token vectors, fed in order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/runtime/embedder.h"

namespace apr {

class APR_API TokenPooler {
 public:
  TokenPooler(std::span<const Pooling> poolings, std::uint32_t features);

  /// Forgets what it was fed.
  void begin(std::uint32_t unpooled);
  void add(std::span<const float> token);
  /// What the poolings made, one after the other. At least one token was pooled.
  void finish(std::span<float> vector) const;

 private:
  void finish(Pooling pooling, std::span<float> part) const;
  std::vector<Pooling> poolings_;
  bool sums_ = false;
  bool weighs_ = false;
  bool compares_ = false;
  std::uint32_t unpooled_ = 0;
  std::uint64_t seen_ = 0;
  std::uint64_t pooled_ = 0;
  double weight_ = 0;
  std::vector<float> first_;
  std::vector<float> last_;
  std::vector<float> largest_;
  std::vector<double> sum_;
  std::vector<double> weighted_;
};

}  // namespace apr
