// The forward pass against a naive one in double, and its invariances.
#include "ecq/model/model.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "ecq/model/random_weights_for_test.h"

namespace ecq {
namespace {

using Vector = std::vector<double>;

// The whole model on one sequence, without a cache, in double.
class NaiveModel {
 public:
  NaiveModel(const ModelConfig& config, const RandomWeights& weights) : c_(config), w_(weights) {}

  // (t, hidden) final-normed.
  std::vector<Vector> Forward(const std::vector<uint32_t>& tokens) const {
    const auto& embedding = w_.at("model.embed_tokens.weight");
    std::vector<Vector> x;
    for (const uint32_t token : tokens) {
      const auto row = embedding.begin() + static_cast<ptrdiff_t>(token * c_.hidden_size);
      x.emplace_back(row, row + c_.hidden_size);
    }
    for (size_t layer = 0; layer < c_.num_layers; ++layer) {
      const std::string p = "model.layers." + std::to_string(layer) + ".";
      AddAttention(p, x);
      for (Vector& row : x) AddMlp(p, row);
    }
    for (Vector& row : x) row = Norm(row, "model.norm.weight");
    return x;
  }

  Vector Linear(const std::string& name, const Vector& x, bool bias = false) const {
    const auto& weight = w_.at(name + ".weight");
    Vector y(weight.size() / x.size());
    for (size_t r = 0; r < y.size(); ++r) {
      for (size_t k = 0; k < x.size(); ++k) y[r] += x[k] * weight[r * x.size() + k];
      if (bias) y[r] += w_.at(name + ".bias")[r];
    }
    return y;
  }

 private:
  Vector Norm(const Vector& x, const std::string& name) const {
    double sum = 0;
    for (const double v : x) sum += v * v;
    Vector out(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      out[i] = x[i] / std::sqrt(sum / static_cast<double>(x.size()) + c_.norm_eps) * w_.at(name)[i];
    }
    return out;
  }

  void Rotate(Vector& x, size_t position) const {
    const size_t half = c_.head_dim / 2;
    for (size_t at = 0; at < x.size(); at += c_.head_dim) {
      for (size_t i = 0; i < half; ++i) {
        const double angle =
            static_cast<double>(position) *
            std::pow(c_.rope.theta, -static_cast<double>(i) / static_cast<double>(half));
        const double a = x[at + i], b = x[at + i + half];
        x[at + i] = a * std::cos(angle) - b * std::sin(angle);
        x[at + i + half] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }

  void AddAttention(const std::string& p, std::vector<Vector>& x) const {
    std::vector<Vector> keys, values;
    for (size_t t = 0; t < x.size(); ++t) {
      const Vector h = Norm(x[t], p + "input_layernorm.weight");
      Vector q = Linear(p + "self_attn.q_proj", h, c_.qkv_bias);
      keys.push_back(Linear(p + "self_attn.k_proj", h, c_.qkv_bias));
      values.push_back(Linear(p + "self_attn.v_proj", h, c_.qkv_bias));
      Rotate(q, t);
      Rotate(keys[t], t);
      Vector mixed(q.size());
      for (size_t head = 0; head < c_.num_heads; ++head) {
        const size_t from = head * c_.head_dim;
        const size_t kv = head * c_.num_kv_heads / c_.num_heads * c_.head_dim;
        double total = 0;
        for (size_t j = 0; j <= t; ++j) {
          double dot = 0;
          for (size_t i = 0; i < c_.head_dim; ++i) dot += q[from + i] * keys[j][kv + i];
          const double weight = std::exp(dot / std::sqrt(c_.head_dim));
          total += weight;
          for (size_t i = 0; i < c_.head_dim; ++i) mixed[from + i] += weight * values[j][kv + i];
        }
        for (size_t i = 0; i < c_.head_dim; ++i) mixed[from + i] /= total;
      }
      const Vector delta = Linear(p + "self_attn.o_proj", mixed, c_.attention_output_bias);
      for (size_t i = 0; i < delta.size(); ++i) x[t][i] += delta[i];
    }
  }

  void AddMlp(const std::string& p, Vector& x) const {
    const Vector h = Norm(x, p + "post_attention_layernorm.weight");
    Vector gate = Linear(p + "mlp.gate_proj", h);
    const Vector up = Linear(p + "mlp.up_proj", h);
    for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
    const Vector delta = Linear(p + "mlp.down_proj", gate);
    for (size_t i = 0; i < delta.size(); ++i) x[i] += delta[i];
  }

  const ModelConfig& c_;
  const RandomWeights& w_;
};

std::vector<uint32_t> RandomTokens(size_t n, uint32_t vocab_size) {
  Rng rng(n);
  std::vector<uint32_t> tokens(n);
  for (uint32_t& token : tokens) token = static_cast<uint32_t>(rng.Below(vocab_size));
  return tokens;
}

std::vector<float> HiddenStates(const Model& model, Session& session,
                                std::span<const uint32_t> tokens) {
  std::vector<float> hidden(tokens.size() * model.config().hidden_size);
  const Status status = model.Forward(session, tokens, hidden.data());
  EXPECT_TRUE(status.ok()) << status.error().message;
  return hidden;
}

void CheckAgainstNaive(const ModelConfig& config) {
  RandomWeights weights(11);
  const auto model = Model::Load(config, weights);
  ASSERT_TRUE(model.ok());
  ThreadPool pool(2);
  auto session = model->NewSession(pool, {.max_context = 100});
  ASSERT_TRUE(session.ok());
  const auto tokens = RandomTokens(100, config.vocab_size);
  const auto hidden = HiddenStates(*model, *session, tokens);
  std::vector<float> logits(100 * config.vocab_size);
  ASSERT_TRUE(model->Logits(*session, 100, hidden.data(), logits.data()).ok());

  const NaiveModel naive(config, weights);
  const auto expected = naive.Forward(tokens);
  const std::string head = config.tie_word_embeddings ? "model.embed_tokens" : "lm_head";
  for (size_t t = 0; t < tokens.size(); ++t) {
    for (size_t i = 0; i < config.hidden_size; ++i) {
      ASSERT_NEAR(hidden[t * config.hidden_size + i], expected[t][i], 1e-4) << t;
    }
    const Vector expected_logits = naive.Linear(head, expected[t]);
    for (size_t i = 0; i < config.vocab_size; ++i) {
      ASSERT_NEAR(logits[t * config.vocab_size + i], expected_logits[i], 2e-4) << t;
    }
  }
}

TEST(Model, LlamaMatchesNaiveCode) { CheckAgainstNaive(TinyConfig()); }

TEST(Model, Qwen2MatchesNaiveCode) {
  ModelConfig config = TinyConfig();
  config.qkv_bias = true;
  config.tie_word_embeddings = false;
  CheckAgainstNaive(config);
}

TEST(Model, OutputBiasMatchesNaiveCode) {
  ModelConfig config = TinyConfig();
  config.qkv_bias = config.attention_output_bias = true;
  CheckAgainstNaive(config);
}

class ModelTest : public testing::Test {
 protected:
  Session NewSession(size_t max_context, ActivationMode mode = ActivationMode::kF32) {
    return *model_.NewSession(pool_, {max_context, mode});
  }

  ModelConfig config_ = TinyConfig();
  RandomWeights weights_{5};
  Model model_ = *Model::Load(config_, weights_);
  ThreadPool pool_{2};
};

// Largest difference between one pass over all tokens and passes over pieces of them.
double PieceDifference(const Model& model, Session& whole, Session& pieces,
                       const std::vector<uint32_t>& tokens, size_t piece) {
  const auto expected = HiddenStates(model, whole, tokens);
  double largest = 0;
  for (size_t at = 0; at < tokens.size(); at += piece) {
    const size_t n = std::min(piece, tokens.size() - at);
    const auto part = HiddenStates(model, pieces, std::span(tokens).subspan(at, n));
    for (size_t i = 0; i < part.size(); ++i) {
      largest = std::max<double>(largest,
                                 std::abs(part[i] - expected[at * model.config().hidden_size + i]));
    }
  }
  EXPECT_EQ(whole.length(), tokens.size());
  EXPECT_EQ(pieces.length(), tokens.size());
  return largest;
}

TEST_F(ModelTest, TokenByTokenEqualsPrefill) {
  // More tokens than one block of a session.
  const auto tokens = RandomTokens(600, config_.vocab_size);
  for (const size_t piece : {1, 3, 7, 100}) {
    Session whole = NewSession(600);
    Session pieces = NewSession(600);
    EXPECT_LT(PieceDifference(model_, whole, pieces, tokens, piece), 1e-4) << piece;
  }
}

TEST_F(ModelTest, RoundedActivationsDifferButLittle) {
  const auto tokens = RandomTokens(50, config_.vocab_size);
  Session exact = NewSession(50);
  Session rounded = NewSession(50, ActivationMode::kI8);
  const auto a = HiddenStates(model_, exact, tokens);
  const auto b = HiddenStates(model_, rounded, tokens);
  double sum = 0, sum_difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += std::abs(a[i]);
    sum_difference += std::abs(a[i] - b[i]);
  }
  EXPECT_GT(sum_difference / sum, 1e-4);
  EXPECT_LT(sum_difference / sum, 0.05);
}

TEST_F(ModelTest, TruncatedSessionForgets) {
  const auto tokens = RandomTokens(40, config_.vocab_size);
  Session session = NewSession(40);
  const auto first = HiddenStates(model_, session, tokens);
  session.Truncate(10);
  EXPECT_EQ(session.length(), 10u);
  const auto again = HiddenStates(model_, session, std::span(tokens).subspan(10));
  for (size_t i = 0; i < again.size(); ++i) {
    ASSERT_NEAR(again[i], first[10 * config_.hidden_size + i], 1e-5);
  }
}

TEST_F(ModelTest, RefusesBadTokensAndFullContext) {
  Session session = NewSession(10);
  std::vector<float> hidden(20 * config_.hidden_size);
  const std::vector<uint32_t> bad{1, config_.vocab_size};
  EXPECT_EQ(model_.Forward(session, bad, hidden.data()).error().code, ErrorCode::kInvalidArgument);
  const std::vector<uint32_t> eleven(11, 1);
  EXPECT_EQ(model_.Forward(session, eleven, hidden.data()).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(session.length(), 0u);
  EXPECT_TRUE(model_.Forward(session, std::span(eleven).first(10), hidden.data()).ok());
  EXPECT_FALSE(model_.Forward(session, std::span(eleven).first(1), hidden.data()).ok());
  EXPECT_TRUE(model_.Forward(session, {}, hidden.data()).ok());
}

// Notes what it sees.
class CountingObserver final : public InputObserver {
 public:
  void Observe(InputSite site, size_t first, size_t t, size_t cols, const float* /*x*/) override {
    calls.push_back({static_cast<size_t>(site), first, t, cols});
  }
  std::vector<std::array<size_t, 4>> calls;
};

TEST_F(ModelTest, LayerByLayerGivesTheBitsOfForward) {
  const auto tokens = RandomTokens(600, config_.vocab_size);
  Session session = NewSession(600);
  const auto expected = HiddenStates(model_, session, tokens);
  session.Clear();
  CountingObserver observer;
  for (InputObserver* const seen_by :
       {static_cast<InputObserver*>(nullptr), static_cast<InputObserver*>(&observer)}) {
    std::vector<float> x(600 * config_.hidden_size);
    ASSERT_TRUE(model_.EmbedTokens(session, tokens, x.data()).ok());
    for (size_t layer = 0; layer < config_.num_layers; ++layer) {
      ASSERT_TRUE(model_.ForwardLayer(session, layer, 600, x.data(), seen_by).ok());
      EXPECT_EQ(session.length(), 0u);
    }
    model_.FinalNorm(session, 600, x.data(), x.data());
    EXPECT_EQ(x, expected);
  }
  const std::vector<std::array<size_t, 4>> of_a_layer{
      {0, 0, 512, 36},  {1, 0, 512, 60},  {2, 0, 512, 36},  {3, 0, 512, 50},
      {0, 512, 88, 36}, {1, 512, 88, 60}, {2, 512, 88, 36}, {3, 512, 88, 50}};
  ASSERT_EQ(observer.calls.size(), 3 * of_a_layer.size());
  for (size_t i = 0; i < observer.calls.size(); ++i) {
    EXPECT_EQ(observer.calls[i], of_a_layer[i % of_a_layer.size()]) << i;
  }
}

TEST_F(ModelTest, LayerByLayerStartsInAnEmptySession) {
  Session session = NewSession(10);
  std::vector<float> x(11 * config_.hidden_size);
  const std::vector<uint32_t> tokens(11, 1);
  EXPECT_FALSE(model_.EmbedTokens(session, tokens, x.data()).ok());
  EXPECT_FALSE(model_.ForwardLayer(session, 0, 11, x.data(), nullptr).ok());
  EXPECT_FALSE(model_.EmbedTokens(session, std::vector<uint32_t>{70}, x.data()).ok());
  HiddenStates(model_, session, std::span(tokens).first(3));
  EXPECT_FALSE(model_.EmbedTokens(session, std::span(tokens).first(2), x.data()).ok());
  EXPECT_FALSE(model_.ForwardLayer(session, 0, 2, x.data(), nullptr).ok());
  EXPECT_EQ(session.length(), 3u);
}

TEST_F(ModelTest, RefusesContextsThatItCannotHave) {
  EXPECT_EQ(model_.NewSession(pool_, {.max_context = 0}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(model_.NewSession(pool_, {.max_context = 1025}).error().code,
            ErrorCode::kInvalidArgument);
}

TEST_F(ModelTest, ReadsTheHeadOnlyIfItIsNotTied) {
  EXPECT_FALSE(weights_.WasRead("lm_head.weight"));
  const uint64_t tied_bytes = model_.resident_bytes();
  config_.tie_word_embeddings = false;
  const Model untied = *Model::Load(config_, weights_);
  EXPECT_TRUE(weights_.WasRead("lm_head.weight"));
  EXPECT_EQ(untied.resident_bytes(), tied_bytes + 4u * config_.vocab_size * config_.hidden_size);
}

// Fails on the n-th request.
class FailingWeights final : public WeightProvider {
 public:
  explicit FailingWeights(size_t good) : good_(good) {}
  bool Has(std::string_view /*name*/) const override { return true; }
  Result<std::unique_ptr<Matrix>> GetMatrix(std::string_view name, uint64_t rows,
                                            uint64_t cols) override {
    if (good_-- == 0) return Error{ErrorCode::kNotFound, std::string(name)};
    return weights_.GetMatrix(name, rows, cols);
  }
  Result<std::vector<float>> GetVector(std::string_view name, uint64_t size) override {
    if (good_-- == 0) return Error{ErrorCode::kNotFound, std::string(name)};
    return weights_.GetVector(name, size);
  }

 private:
  size_t good_;
  RandomWeights weights_{1};
};

// Has no tensor under the root of the names.
class BareWeights final : public WeightProvider {
 public:
  explicit BareWeights(RandomWeights* weights) : weights_(weights) {}
  bool Has(std::string_view name) const override { return !name.starts_with("model."); }
  Result<std::unique_ptr<Matrix>> GetMatrix(std::string_view name, uint64_t rows,
                                            uint64_t cols) override {
    return weights_->GetMatrix(name, rows, cols);
  }
  Result<std::vector<float>> GetVector(std::string_view name, uint64_t size) override {
    return weights_->GetVector(name, size);
  }

 private:
  RandomWeights* weights_;
};

TEST(Model, LoadsCheckpointsOfABareBaseModel) {
  RandomWeights weights(1);
  BareWeights bare(&weights);
  ASSERT_TRUE(Model::Load(TinyConfig(), bare).ok());
  EXPECT_TRUE(weights.WasRead("embed_tokens.weight"));
  EXPECT_TRUE(weights.WasRead("layers.2.self_attn.q_proj.weight"));
  EXPECT_TRUE(weights.WasRead("norm.weight"));
  EXPECT_FALSE(weights.WasRead("model.embed_tokens.weight"));
}

TEST(Model, PassesOnEveryLoadError) {
  const ModelConfig config = TinyConfig();
  const size_t requests = 1 + config.num_layers * 9 + 1;
  for (size_t good = 0; good < requests; ++good) {
    FailingWeights weights(good);
    const auto model = Model::Load(config, weights);
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.error().code, ErrorCode::kNotFound);
  }
  FailingWeights enough(requests);
  EXPECT_TRUE(Model::Load(config, enough).ok());
}

}  // namespace
}  // namespace ecq
