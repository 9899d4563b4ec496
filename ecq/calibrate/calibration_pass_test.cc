// The moments of small random models against sums in double over what their matrices really met.
#include "ecq/calibrate/calibration_pass.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "ecq/calibrate/moments_accumulator.h"
#include "ecq/calibrate/tensor_moments.h"
#include "ecq/model/random_weights_for_test.h"

namespace ecq {
namespace {

using Inputs = std::map<std::string, std::vector<float>>;  // by tensor, all rows it met

// Multiplies as another matrix, and remembers with what.
class RecordingMatrix final : public Matrix {
 public:
  RecordingMatrix(std::unique_ptr<Matrix> matrix, std::vector<float>* inputs)
      : matrix_(std::move(matrix)), inputs_(inputs) {}

  uint64_t rows() const override { return matrix_->rows(); }
  uint64_t cols() const override { return matrix_->cols(); }
  uint64_t resident_bytes() const override { return matrix_->resident_bytes(); }
  Status Multiply(ThreadPool& pool, ActivationMode mode, Activations& x, float* y) const override {
    inputs_->insert(inputs_->end(), x.x(), x.x() + x.m() * x.cols());
    return matrix_->Multiply(pool, mode, x, y);
  }
  Status GatherRows(ThreadPool& pool, std::span<const uint32_t> ids, float* out) const override {
    return matrix_->GatherRows(pool, ids, out);
  }

 private:
  std::unique_ptr<Matrix> matrix_;
  std::vector<float>* inputs_;
};

class RecordingWeights final : public WeightProvider {
 public:
  RecordingWeights(uint64_t seed, Inputs* inputs) : weights_(seed), inputs_(inputs) {}

  bool Has(std::string_view name) const override { return weights_.Has(name); }
  Result<std::unique_ptr<Matrix>> GetMatrix(std::string_view name, uint64_t rows,
                                            uint64_t cols) override {
    ECQ_TRY(std::unique_ptr<Matrix> matrix, weights_.GetMatrix(name, rows, cols));
    return std::unique_ptr<Matrix>(
        std::make_unique<RecordingMatrix>(std::move(matrix), &(*inputs_)[std::string(name)]));
  }
  Result<std::vector<float>> GetVector(std::string_view name, uint64_t size) override {
    return weights_.GetVector(name, size);
  }

 private:
  RandomWeights weights_;
  Inputs* inputs_;
};

// Windows of such lengths, of random tokens.
std::vector<TokenWindow> RandomWindows(const std::vector<size_t>& lengths, uint32_t vocab_size) {
  Rng rng(3);
  std::vector<TokenWindow> windows;
  for (const size_t length : lengths) {
    TokenWindow window(length);
    for (uint32_t& token : window) token = static_cast<uint32_t>(rng.Below(vocab_size));
    windows.push_back(std::move(window));
  }
  return windows;
}

// Shorter and longer than a block of a session.
const std::vector<size_t> kLengths{30, 600, 1, 17};
constexpr double kSinkWeight = 50;

struct AllMoments {
  std::vector<LayerMoments> layers;
  InputMoments head;

  const InputMoments& at(const TensorMoments& which) const {
    return which.kind == MomentsKind::kHead ? head : SelectMoments(layers[which.layer], which.kind);
  }
};

AllMoments RunPass(const Model& model, size_t num_threads) {
  ThreadPool pool(num_threads);
  AllMoments all;
  auto pass =
      CalibrationPass::Create(model, pool, RandomWindows(kLengths, model.config().vocab_size),
                              {.sink_weight = kSinkWeight});
  EXPECT_TRUE(pass.ok()) << pass.error().message;
  EXPECT_EQ(pass->num_tokens(), 648u);
  EXPECT_FALSE(pass->Head().ok()) << "before the last layer";
  while (pass->next_layer() < pass->num_layers()) {
    auto layer = pass->Next();
    EXPECT_TRUE(layer.ok()) << layer.error().message;
    if (!layer.ok()) return all;
    all.layers.push_back(*std::move(layer));
  }
  EXPECT_EQ(pass->Next().error().code, ErrorCode::kInvalidArgument) << "after the last layer";
  all.head = *pass->Head();
  return all;
}

// All windows through Forward() and Logits(), one after the other.
void RunForward(const Model& model) {
  ThreadPool pool(2);
  Session session = *model.NewSession(pool, {.max_context = 600});
  for (const TokenWindow& window : RandomWindows(kLengths, model.config().vocab_size)) {
    session.Clear();
    std::vector<float> hidden(window.size() * model.config().hidden_size);
    std::vector<float> logits(window.size() * model.config().vocab_size);
    ASSERT_TRUE(model.Forward(session, window, hidden.data()).ok());
    ASSERT_TRUE(model.Logits(session, window.size(), hidden.data(), logits.data()).ok());
  }
}

// `first_weight`: of position 0 of each window.
void ExpectMoments(const InputMoments& moments, const std::vector<float>& inputs,
                   double first_weight) {
  const size_t cols = moments.cols;
  ASSERT_EQ(moments.sums.size(), cols * cols);
  ASSERT_EQ(inputs.size(), 648 * cols);
  std::vector<double> sums(cols * cols, 0);
  double total = 0;
  const float* x = inputs.data();
  for (const size_t length : kLengths) {
    for (size_t t = 0; t < length; ++t, x += cols) {
      const double weight = t == 0 ? first_weight : 1;
      total += weight;
      for (size_t i = 0; i < cols; ++i) {
        for (size_t j = 0; j < cols; ++j) sums[i * cols + j] += weight * x[i] * x[j];
      }
    }
  }
  EXPECT_DOUBLE_EQ(moments.weight, total);
  for (size_t i = 0; i < cols; ++i) {
    for (size_t j = 0; j < cols; ++j) {
      const double scale = std::sqrt(sums[i * cols + i] * sums[j * cols + j]);
      ASSERT_NEAR(moments.sums[i * cols + j], sums[i * cols + j], 3e-6 * scale + 1e-30)
          << i << " " << j;
      ASSERT_EQ(moments.sums[i * cols + j], moments.sums[j * cols + i]);
    }
  }
}

struct Family {
  const char* name;
  const char* config;
  size_t num_products;  // matrices that meet something
};

void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

const Family kFamilies[] = {
    {"llama", R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 36, "head_dim": 10,
       "intermediate_size": 50, "num_hidden_layers": 2, "num_attention_heads": 6,
       "num_key_value_heads": 2, "vocab_size": 70, "tie_word_embeddings": true})",
     2 * 7 + 1},
    {"qwen2", R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 36,
       "intermediate_size": 50, "num_hidden_layers": 2, "num_attention_heads": 6,
       "num_key_value_heads": 2, "vocab_size": 70})",
     2 * 7 + 1},
    {"gemma3", R"({"architectures": ["Gemma3ForCausalLM"], "hidden_size": 36, "head_dim": 8,
       "intermediate_size": 50, "num_hidden_layers": 2, "num_attention_heads": 4,
       "num_key_value_heads": 1, "vocab_size": 70, "sliding_window": 16})",
     2 * 7 + 1},
    {"phi3", R"({"architectures": ["Phi3ForCausalLM"], "hidden_size": 36,
       "intermediate_size": 50, "num_hidden_layers": 2, "num_attention_heads": 6,
       "vocab_size": 70})",
     2 * 4 + 1},
    {"gpt2", R"({"architectures": ["GPT2LMHeadModel"], "n_embd": 36, "n_head": 6, "n_layer": 2,
       "n_positions": 700, "vocab_size": 70})",
     2 * 4 + 1},
};

class CalibratedFamily : public testing::TestWithParam<Family> {
 protected:
  const ModelConfig config_ = *ParseModelConfig(GetParam().config);
};

TEST_P(CalibratedFamily, MomentsAreThoseOfWhatEachMatrixMeets) {
  Inputs inputs;
  RecordingWeights weights(7, &inputs);
  const auto model = Model::Load(config_, weights);
  ASSERT_TRUE(model.ok());
  RunForward(*model);
  const Inputs expected = inputs;
  const AllMoments all = RunPass(*model, 2);
  size_t num_products = 0;
  for (const auto& [name, x] : expected) {
    SCOPED_TRACE(name);
    const auto which = FindTensorMoments(config_, name);
    ASSERT_EQ(which.has_value(), !x.empty());
    if (!which) continue;
    ++num_products;
    const InputMoments& moments = all.at(*which);
    EXPECT_EQ(moments.cols, MomentsCols(config_, which->kind));
    ExpectMoments(moments, x, which->kind == MomentsKind::kValue ? kSinkWeight : 1);
  }
  EXPECT_EQ(num_products, GetParam().num_products);
  EXPECT_EQ(all.layers[0].value.cols, config_.tensors.qkv.empty() ? config_.hidden_size : 0);
}

TEST_P(CalibratedFamily, NumberOfThreadsDoesNotMatter) {
  RandomWeights weights(7);
  const Model model = *Model::Load(config_, weights);
  const AllMoments one = RunPass(model, 1);
  const AllMoments two = RunPass(model, 2);
  const auto expect_same = [](const InputMoments& a, const InputMoments& b) {
    EXPECT_TRUE(std::equal(a.sums.begin(), a.sums.end(), b.sums.begin(), b.sums.end()));
  };
  for (size_t i = 0; i < one.layers.size(); ++i) {
    for (const auto kind : {MomentsKind::kAttention, MomentsKind::kValue, MomentsKind::kOutput,
                            MomentsKind::kUp, MomentsKind::kDown}) {
      expect_same(SelectMoments(one.layers[i], kind), SelectMoments(two.layers[i], kind));
    }
  }
  expect_same(one.head, two.head);
}

INSTANTIATE_TEST_SUITE_P(All, CalibratedFamily, testing::ValuesIn(kFamilies),
                         [](const auto& family) { return family.param.name; });

// More inputs than a tile, more tokens than a block; an integer sum is exact.
TEST(MomentsAccumulator, AddsTilesAndBlocks) {
  const size_t cols = 413, tokens = 1100;
  std::vector<float> x(tokens * cols);
  Rng rng(1);
  for (float& v : x) v = static_cast<float>(rng.Below(7)) - 3;
  ThreadPool pool(2);
  MomentsAccumulator accumulator(pool, cols);
  accumulator.Add(1000, x.data(), 1);
  MomentsAccumulator copy(accumulator);
  copy.Add(100, &x[1000 * cols], 4);
  const InputMoments plain = accumulator.Take();
  const InputMoments weighted = copy.Take();
  EXPECT_EQ(plain.weight, 1000);
  EXPECT_EQ(weighted.weight, 1400);
  for (size_t i = 0; i < cols; i += 3) {
    for (size_t j = i % 5; j < cols; j += 5) {
      float front = 0, back = 0;
      for (size_t t = 0; t < tokens; ++t) {
        (t < 1000 ? front : back) += x[t * cols + i] * x[t * cols + j];
      }
      ASSERT_EQ(plain.sums[i * cols + j], front) << i << " " << j;
      ASSERT_EQ(weighted.sums[i * cols + j], front + 4 * back) << i << " " << j;
    }
  }
}

TEST(MomentsAccumulator, NumberOfThreadsDoesNotMatter) {
  const size_t cols = 413, tokens = 700;
  std::vector<float> x(tokens * cols);
  Rng rng(1);
  for (float& v : x) v = static_cast<float>(rng.Gaussian());
  std::vector<InputMoments> all;
  for (const size_t num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    MomentsAccumulator accumulator(pool, cols);
    accumulator.Add(tokens, x.data(), 1);
    all.push_back(accumulator.Take());
    EXPECT_TRUE(std::equal(all[0].sums.begin(), all[0].sums.end(), all.back().sums.begin()));
  }
}

TEST(MomentsAccumulator, SeesWhatIsNotFinite) {
  ThreadPool pool(1);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 1e25f}) {
    std::vector<float> x(10 * 300, 1);
    MomentsAccumulator accumulator(pool, 300);
    accumulator.Add(10, x.data(), 1);
    EXPECT_TRUE(accumulator.IsFinite());
    x[3 * 300 + 250] = bad;
    accumulator.Add(10, x.data(), 1);
    EXPECT_FALSE(accumulator.IsFinite());
  }
}

// Damages one weight.
class DamagedWeights final : public WeightProvider {
 public:
  explicit DamagedWeights(std::string_view name) : name_(name) {}

  bool Has(std::string_view name) const override { return weights_.Has(name); }
  Result<std::unique_ptr<Matrix>> GetMatrix(std::string_view name, uint64_t rows,
                                            uint64_t cols) override {
    if (name != name_) return weights_.GetMatrix(name, rows, cols);
    AlignedBuffer<float> values(rows * cols);
    values.Fill(0.01f);
    values[cols + 1] = std::numeric_limits<float>::quiet_NaN();
    ECQ_TRY(DenseMatrix matrix, DenseMatrix::Create(rows, cols, std::move(values)));
    return std::unique_ptr<Matrix>(std::make_unique<DenseMatrix>(std::move(matrix)));
  }
  Result<std::vector<float>> GetVector(std::string_view name, uint64_t size) override {
    return weights_.GetVector(name, size);
  }

 private:
  std::string_view name_;
  RandomWeights weights_{1};
};

struct Damage {
  const char* name;
  size_t good_layers;
  const char* place;
  const char* site;
};

TEST(CalibrationPass, NamesLayerAndSiteOfWhatIsNotFinite) {
  for (const Damage& damage : {
           Damage{"model.layers.1.self_attn.v_proj.weight", 1, "layer 1", "output projection"},
           Damage{"model.layers.1.self_attn.o_proj.weight", 1, "layer 1", "gate and up"},
           Damage{"model.layers.1.mlp.up_proj.weight", 1, "layer 1", "down projection"},
           Damage{"model.layers.1.mlp.down_proj.weight", 2, "layer 2", "attention projections"},
           Damage{"model.layers.2.mlp.down_proj.weight", 3, "last norm", "head"},
       }) {
    SCOPED_TRACE(damage.name);
    DamagedWeights weights(damage.name);
    const Model model = *Model::Load(TinyConfig(), weights);
    ThreadPool pool(2);
    auto pass = CalibrationPass::Create(model, pool, {{1, 2, 3}, {4, 5}}, {});
    ASSERT_TRUE(pass.ok());
    for (size_t i = 0; i < damage.good_layers; ++i) ASSERT_TRUE(pass->Next().ok());
    const Error error = damage.good_layers == 3 ? pass->Head().error() : pass->Next().error();
    EXPECT_EQ(error.code, ErrorCode::kCorrupt);
    EXPECT_NE(error.message.find(damage.place), std::string::npos) << error.message;
    EXPECT_NE(error.message.find(damage.site), std::string::npos) << error.message;
  }
}

TEST(CalibrationPass, RefusesWindowsAndWeightsThatItCannotUse) {
  RandomWeights weights(1);
  const Model model = *Model::Load(TinyConfig(), weights);
  ThreadPool pool(1);
  const std::vector<TokenWindow> too_long{TokenWindow(1025, 1)};
  for (const std::vector<TokenWindow>& windows :
       {std::vector<TokenWindow>{}, {{1}, {}}, too_long, {{1, 70}}}) {
    const auto pass = CalibrationPass::Create(model, pool, windows, {});
    ASSERT_FALSE(pass.ok());
    EXPECT_EQ(pass.error().code, ErrorCode::kInvalidArgument) << pass.error().message;
  }
  for (const double weight : {0.5, -1.0, 1e7, std::nan("")}) {
    EXPECT_FALSE(CalibrationPass::Create(model, pool, {{1, 2}}, {.sink_weight = weight}).ok());
  }
}

TEST(CalibrationPass, ReportsProgressOfEachWindow) {
  RandomWeights weights(1);
  const Model model = *Model::Load(TinyConfig(), weights);
  ThreadPool pool(1);
  std::string log;
  CalibrationOptions options;
  options.progress = [&](size_t layer, size_t done, size_t all) {
    log += std::to_string(layer) + ":" + std::to_string(done) + "/" + std::to_string(all) + " ";
  };
  auto pass = CalibrationPass::Create(model, pool, {{1, 2}, {3}}, options);
  ASSERT_TRUE(pass->Next().ok());
  ASSERT_TRUE(pass->Next().ok());
  EXPECT_EQ(log, "0:1/2 0:2/2 1:1/2 1:2/2 ");
}

}  // namespace
}  // namespace ecq
