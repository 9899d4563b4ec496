// RMSNorm, RoPE and attention against naive code in double.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "ecq/base/cpu_target.h"
#include "ecq/base/half.h"
#include "ecq/base/rng.h"
#include "ecq/kernels/activations.h"
#include "ecq/model/attention.h"
#include "ecq/model/norm.h"
#include "ecq/model/random_weights_for_test.h"
#include "ecq/model/rope.h"

namespace ecq {
namespace {

std::vector<float> RandomVector(Rng& rng, size_t n) {
  std::vector<float> v(n);
  for (float& x : v) x = static_cast<float>(rng.Gaussian());
  return v;
}

TEST(RmsNorm, MatchesDefinitionAlsoInPlace) {
  Rng rng(1);
  ThreadPool pool(2);
  const size_t t = 5, size = 37;
  auto x = RandomVector(rng, t * size);
  const auto weight = RandomVector(rng, size);
  std::vector<float> out(t * size);
  RmsNorm(pool, weight, 0.1f, t, x.data(), out.data());
  for (size_t r = 0; r < t; ++r) {
    double sum = 0;
    for (size_t i = 0; i < size; ++i) sum += static_cast<double>(x[r * size + i]) * x[r * size + i];
    const double inverse = 1 / std::sqrt(sum / size + 0.1);
    for (size_t i = 0; i < size; ++i) {
      EXPECT_NEAR(out[r * size + i], weight[i] * x[r * size + i] * inverse, 1e-6);
    }
  }
  RmsNorm(pool, weight, 0.1f, t, x.data(), x.data());
  EXPECT_EQ(x, out);
}

TEST(LayerNorm, MatchesDefinition) {
  Rng rng(4);
  ThreadPool pool(2);
  const size_t t = 5, size = 37;
  auto x = RandomVector(rng, t * size);
  for (float& v : x) v += 3;
  const auto weight = RandomVector(rng, size);
  const auto bias = RandomVector(rng, size);
  std::vector<float> out(t * size);
  LayerNorm(pool, weight, bias, 0.1f, t, x.data(), out.data());
  for (size_t r = 0; r < t; ++r) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < size; ++i) mean += x[r * size + i] / double{size};
    for (size_t i = 0; i < size; ++i) variance += std::pow(x[r * size + i] - mean, 2) / size;
    for (size_t i = 0; i < size; ++i) {
      const double expected = weight[i] * (x[r * size + i] - mean) / std::sqrt(variance + 0.1);
      EXPECT_NEAR(out[r * size + i], expected + bias[i], 2e-6);
    }
  }
}

TEST(Rope, RotatesAPartWithDivisorsOfTheContext) {
  Rng rng(5);
  ThreadPool pool(1);
  const size_t head_dim = 10, position = 7;
  RopeConfig config;
  config.theta = 100;
  config.dims = 4;
  config.divisors = {2, 3};
  config.long_divisors = {5, 6};
  config.short_context = 8;
  config.magnitude = 1.5;
  const auto x = RandomVector(rng, head_dim);
  for (const size_t context : {8, 9}) {
    const auto& divisors = context == 8 ? config.divisors : config.long_divisors;
    auto rotated = x;
    RopeTable(context, head_dim, config).Rotate(pool, position, 1, 1, rotated.data());
    for (size_t i = 0; i < 2; ++i) {
      const double angle =
          position * std::pow(100, -2.0 * static_cast<double>(i) / 4) / divisors[i];
      EXPECT_NEAR(rotated[i], 1.5 * (x[i] * std::cos(angle) - x[i + 2] * std::sin(angle)), 1e-6);
      EXPECT_NEAR(rotated[i + 2], 1.5 * (x[i] * std::sin(angle) + x[i + 2] * std::cos(angle)),
                  1e-6);
    }
    for (size_t i = 4; i < head_dim; ++i) EXPECT_EQ(rotated[i], x[i]);
  }
}

TEST(Rope, RotatesHalfSplitPairs) {
  Rng rng(2);
  ThreadPool pool(2);
  const size_t t = 7, heads = 3, head_dim = 10, first = 500;
  const double theta = 10000;
  RopeConfig config;
  config.theta = theta;
  config.dims = head_dim;
  const RopeTable rope(first + t, head_dim, config);
  const auto x = RandomVector(rng, t * heads * head_dim);
  auto rotated = x;
  rope.Rotate(pool, first, t, heads, rotated.data());
  for (size_t r = 0; r < t; ++r) {
    for (size_t h = 0; h < heads; ++h) {
      const size_t at = (r * heads + h) * head_dim;
      for (size_t i = 0; i < head_dim / 2; ++i) {
        const double angle =
            static_cast<double>(first + r) * std::pow(theta, -2.0 * static_cast<double>(i) / 10);
        const double a = x[at + i], b = x[at + i + 5];
        EXPECT_NEAR(rotated[at + i], a * std::cos(angle) - b * std::sin(angle), 1e-6);
        EXPECT_NEAR(rotated[at + i + 5], a * std::sin(angle) + b * std::cos(angle), 1e-6);
      }
    }
  }
}

// Position j of `kv`, which holds (positions, num_kv_heads, head_dim).
struct NaiveAttention {
  const ModelConfig& config;
  const std::vector<float>& keys;
  const std::vector<float>& values;
  size_t layer;

  // out (head_dim) of one query head at `position`.
  std::vector<double> operator()(const float* query, size_t head, size_t position) const {
    const size_t dim = config.head_dim;
    const size_t kv_head = head / (config.num_heads / config.num_kv_heads);
    std::vector<double> out(dim);
    double total = 0;
    const size_t window = config.window(layer);
    for (size_t j = 0; j <= position; ++j) {
      if (window != 0 && position - j >= window) continue;
      const size_t at = (j * config.num_kv_heads + kv_head) * dim;
      double dot = 0;
      for (size_t i = 0; i < dim; ++i) dot += static_cast<double>(query[i]) * keys[at + i];
      const double weight = std::exp(dot / std::sqrt(static_cast<double>(dim)));
      total += weight;
      for (size_t i = 0; i < dim; ++i) out[i] += weight * values[at + i];
    }
    for (double& x : out) x /= total;
    return out;
  }
};

// Random queries, keys and values of one layer.
struct AttentionCase {
  AttentionCase(uint32_t window, size_t num_positions) : positions(num_positions) {
    Rng rng(3);
    config.windows = {0, window, 0};
    q = RandomVector(rng, positions * config.query_size());
    k = RandomVector(rng, positions * config.kv_size());
    v = RandomVector(rng, positions * config.kv_size());
  }

  // Feeds positions in steps of the given sizes.
  std::vector<float> Run(size_t threads, const std::vector<size_t>& steps, KvFormat format) const {
    ThreadPool pool(threads);
    KvCache cache(config, positions, format);
    AttentionScratch scratch(config, threads, positions);
    std::vector<float> out(q.size());
    for (const size_t t : steps) {
      const size_t at = cache.length();
      cache.Append(layer, t, &k[at * config.kv_size()], &v[at * config.kv_size()]);
      Attend(pool, config, cache, layer, t, &q[at * config.query_size()], scratch,
             &out[at * config.query_size()]);
      cache.Advance(t);
    }
    return out;
  }

  size_t positions;
  size_t layer = 1;
  ModelConfig config = TinyConfig();
  std::vector<float> q, k, v;
};

// x (rows, dim) as a cache of `format` keeps it.
std::vector<float> AsCached(std::vector<float> x, size_t dim, KvFormat format) {
  for (size_t at = 0; at < x.size(); at += dim) {
    std::vector<int8_t> bytes(dim);
    const float scale = QuantizeBlock(&x[at], dim, bytes.data());
    for (size_t i = 0; i < dim; ++i) {
      if (format == KvFormat::kF16) x[at + i] = HalfToFloat(FloatToHalf(x[at + i]));
      if (format == KvFormat::kI8) x[at + i] = static_cast<float>(bytes[i]) * scale;
    }
  }
  return x;
}

// Compares every output with naive code on the keys and values that the cache holds.
void CheckAttention(size_t threads, const std::vector<size_t>& steps, uint32_t window = 0,
                    KvFormat format = KvFormat::kF32) {
  const size_t positions = std::accumulate(steps.begin(), steps.end(), size_t{0});
  const AttentionCase sample(window, positions);
  const ModelConfig& config = sample.config;
  const std::vector<float>& q = sample.q;
  const auto k = AsCached(sample.k, config.head_dim, format);
  const auto v = AsCached(sample.v, config.head_dim, format);
  const NaiveAttention naive{config, k, v, sample.layer};
  const std::vector<float> out = sample.Run(threads, steps, format);
  for (size_t r = 0; r < positions; ++r) {
    for (size_t h = 0; h < config.num_heads; ++h) {
      const size_t at = r * config.query_size() + h * config.head_dim;
      const auto expected = naive(&q[at], h, r);
      for (size_t i = 0; i < config.head_dim; ++i) {
        ASSERT_NEAR(out[at + i], expected[i], 3e-6) << "position " << r << " head " << h;
      }
    }
  }
}

TEST(Attention, MatchesNaiveCode) {
  const CpuTarget before = ActiveCpuTarget();
  for (const CpuTarget target : kAllCpuTargets) {
    if (!SetActiveCpuTarget(target).ok()) continue;
    for (const KvFormat format : {KvFormat::kF32, KvFormat::kF16, KvFormat::kI8}) {
      CheckAttention(1, {1, 1, 2, 7, 1}, 0, format);     // row by row
      CheckAttention(3, {64, 8, 130, 1, 9}, 0, format);  // blocks behind a cache
      CheckAttention(2, {500, 1, 40, 1}, 0, format);     // several segments
    }
    CheckAttention(1, {200});  // blocks, the last one partial
    for (const uint32_t window : {1, 5, 64, 100, 300, 1000}) {
      CheckAttention(2, {1, 1, 2, 7, 1}, window);
      CheckAttention(2, {64, 8, 130, 1, 9}, window);
      CheckAttention(2, {590, 1, 1, 30}, window);
    }
  }
  EXPECT_TRUE(SetActiveCpuTarget(before).ok());
}

TEST(Attention, DependsNeitherOnThreadsNorOnQueriesComputedTogether) {
  const CpuTarget before = ActiveCpuTarget();
  for (const CpuTarget target : kAllCpuTargets) {
    if (!SetActiveCpuTarget(target).ok()) continue;
    for (const uint32_t window : {0, 100}) {
      const AttentionCase sample(window, 600);
      const auto all = sample.Run(1, {600}, KvFormat::kF16);
      EXPECT_EQ(sample.Run(3, {300, 300}, KvFormat::kF16), all);
      EXPECT_EQ(sample.Run(2, std::vector<size_t>(600, 1), KvFormat::kF16), all);
    }
  }
  EXPECT_TRUE(SetActiveCpuTarget(before).ok());
}

}  // namespace
}  // namespace ecq
