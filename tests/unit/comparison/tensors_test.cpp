#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "core/tensor/codec.h"
#include "orchestrator/stages/compare_tensors.h"

using namespace apr;

namespace {

Tensor floats(Shape shape, const std::vector<float>& values) {
  Tensor tensor{Type::f32, shape, {}};
  tensor.data.resize(values.size() * 4);
  REQUIRE(encode_plain(Type::f32, values, tensor.data));
  return tensor;
}

Tensor as(Type type, const Tensor& source) {
  std::vector<float> values(source.shape.elements());
  REQUIRE(decode(source.view(), 0, values));
  Tensor tensor{type, source.shape, {}};
  tensor.data.resize(*storage_bytes(type, source.shape));
  REQUIRE(encode_plain(type, values, tensor.data));
  return tensor;
}

std::vector<float> noise(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.F, 1.F);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

}  // namespace

TEST_CASE("a difference by hand") {
  const Tensor a = floats({2, 3}, {1, 2, 3, 4, 0, 0});
  const Tensor b = floats({2, 3}, {1, 2, 3, 4, 0, -0.5F});
  const auto found = compare_tensors(a.view(), b.view(), 1);
  REQUIRE(found);
  CHECK(found->different == 1);
  CHECK(found->max_abs == 0.5);
  CHECK(found->at == 5);
  CHECK(found->b == -0.5);
  CHECK(found->relative_rms == Approx(0.5 / std::sqrt(30.0)).epsilon(1e-12));
  CHECK(found->cosine == Approx(std::sqrt(30.0) / std::sqrt(30.25)).epsilon(1e-12));
  CHECK(found->block_ratio == Approx(0.5 / 4).epsilon(1e-12));
  const Json json = difference_as_json(*found, a.shape);
  CHECK(json["at"].dump() == "[1,2]");
}

TEST_CASE("what is equal") {
  const Tensor a = floats({4}, {1, -0.F, NAN, INFINITY});
  const Tensor b = floats({4}, {1, 0, -NAN, INFINITY});
  const auto found = compare_tensors(a.view(), b.view(), 1);
  REQUIRE(found);
  CHECK(found->equal());
  CHECK_FALSE(found->same_bytes);
  const auto self = compare_tensors(a.view(), a.view(), 1);
  REQUIRE(self);
  CHECK(self->same_bytes);
  CHECK(self->equal());
}

TEST_CASE("what is not a number is never near") {
  const Tensor a = floats({3}, {1, 2, INFINITY});
  const Tensor b = floats({3}, {1, NAN, -INFINITY});
  const auto found = compare_tensors(a.view(), b.view(), 1);
  REQUIRE(found);
  CHECK(found->different == 2);
  CHECK(found->not_comparable == 2);
  CHECK(found->max_abs == 0);
}

TEST_CASE("against nothing but zeros") {
  const Tensor zero = floats({2}, {0, 0});
  const Tensor one = floats({2}, {0, 1});
  const auto found = compare_tensors(zero.view(), one.view(), 1);
  REQUIRE(found);
  CHECK(std::isinf(found->relative_rms));
  CHECK(std::isinf(found->block_ratio));
  CHECK(found->cosine == 0);
}

TEST_CASE("types are compared by the numbers they stand for") {
  const Tensor a = floats({64, 96}, noise(64 * 96, 1));
  const Tensor brain = as(Type::bf16, a);
  const Tensor wide = as(Type::f32, brain);
  const auto same = compare_tensors(brain.view(), wide.view(), 0);
  REQUIRE(same);
  CHECK(same->equal());
  const auto rounded = compare_tensors(a.view(), brain.view(), 0);
  REQUIRE(rounded);
  // bf16 keeps 8 bits: half a unit in the last place is at most 2^-8 of a number.
  CHECK(rounded->different > 5000);
  CHECK(rounded->block_ratio <= 1.0 / 256);
  CHECK(rounded->relative_rms < 1.0 / 256);
  CHECK(rounded->relative_rms > 1.0 / 2048);
}

TEST_CASE("the figures do not depend on the number of threads") {
  const std::size_t rows = 1500;
  const std::size_t columns = 515;
  const Tensor a = floats({rows, columns}, noise(rows * columns, 2));
  const Tensor b = floats({rows, columns}, noise(rows * columns, 3));
  const auto one = compare_tensors(a.view(), b.view(), 1);
  const auto many = compare_tensors(a.view(), b.view(), 7);
  REQUIRE(one);
  REQUIRE(many);
  CHECK(difference_as_json(*one, a.shape) == difference_as_json(*many, a.shape));
  CHECK(one->relative_rms == Approx(std::sqrt(2.0)).epsilon(0.01));
  CHECK(std::abs(one->cosine) < 0.01);
}

TEST_CASE("one changed number in many is found, wherever it is") {
  const std::size_t rows = 700;
  const std::size_t columns = 1000;
  const std::vector<float> values = noise(rows * columns, 4);
  const Tensor a = floats({rows, columns}, values);
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{262143}, std::size_t{262144}, rows * columns - 1}) {
    std::vector<float> changed = values;
    changed[at] = std::nextafter(changed[at], 10.F);
    const auto found = compare_tensors(a.view(), floats({rows, columns}, changed).view(), 3);
    REQUIRE(found);
    CHECK(found->different == 1);
    CHECK(found->at == at);
  }
}

TEST_CASE("other shapes are refused, empty tensors are equal") {
  const Tensor a = floats({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor b = floats({3, 2}, {1, 2, 3, 4, 5, 6});
  CHECK_FALSE(compare_tensors(a.view(), b.view(), 1));
  const Tensor none = floats({0, 4}, {});
  const Tensor half{Type::f16, {0, 4}, {}};
  const auto found = compare_tensors(none.view(), half.view(), 1);
  REQUIRE(found);
  CHECK(found->equal());
}
