// Moments come back from disk as they were, or not at all.
#include "ecq/calibrate/moments_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <fstream>

#include "ecq/calibrate/tensor_moments.h"
#include "ecq/model/random_weights_for_test.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;

InputMoments RandomMoments(Rng& rng, uint32_t cols) {
  InputMoments moments{cols, 1 + static_cast<double>(rng.Below(1000)),
                       AlignedBuffer<float>(size_t{cols} * cols)};
  for (size_t i = 0; i < cols; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      const auto value = static_cast<float>(rng.Gaussian());
      moments.sums[i * cols + j] = moments.sums[j * cols + i] = value;
    }
  }
  return moments;
}

void ExpectSame(const InputMoments& a, const InputMoments& b) {
  EXPECT_EQ(a.cols, b.cols);
  EXPECT_EQ(a.weight, b.weight);
  ASSERT_EQ(a.sums.size(), b.sums.size());
  EXPECT_TRUE(std::equal(a.sums.begin(), a.sums.end(), b.sums.begin()));
}

constexpr MomentsKind kLayerKinds[] = {MomentsKind::kAttention, MomentsKind::kValue,
                                       MomentsKind::kOutput, MomentsKind::kUp, MomentsKind::kDown};

class MomentsCacheTest : public testing::Test {
 protected:
  MomentsCacheTest() {
    std::string name = (fs::temp_directory_path() / "ecq-moments-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~MomentsCacheTest() override { fs::remove_all(root_); }

  MomentsCache Open() {
    return *MomentsCache::Open(root_ / "cache", config_, model_, windows_, options_);
  }

  // Fills the cache with random moments.
  void Fill() {
    Rng rng(1);
    const MomentsCache cache = Open();
    layers_.clear();
    for (size_t i = 0; i < config_.num_layers; ++i) {
      LayerMoments layer;
      for (const MomentsKind kind : kLayerKinds) {
        if (kind == MomentsKind::kValue && !config_.tensors.qkv.empty()) continue;
        SelectMoments(layer, kind) = RandomMoments(rng, MomentsCols(config_, kind));
      }
      ASSERT_TRUE(cache.StoreLayer(i, layer).ok());
      layers_.push_back(std::move(layer));
    }
    head_ = RandomMoments(rng, config_.hidden_size);
    EXPECT_TRUE(cache.WhyIncomplete().has_value()) << "the head is missing";
    ASSERT_TRUE(cache.StoreHead(head_).ok());
  }

  std::vector<fs::path> Files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(root_ / "cache")) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
  }

  static std::string Read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void Write(const fs::path& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  fs::path root_;
  ModelConfig config_ = TinyConfig();
  std::string model_ = "model";
  std::vector<TokenWindow> windows_{{1, 2, 3}, {4, 5}};
  CalibrationOptions options_;
  std::vector<LayerMoments> layers_;
  InputMoments head_;
};

TEST_F(MomentsCacheTest, GivesBackWhatItGot) {
  Fill();
  const MomentsCache cache = Open();
  EXPECT_EQ(cache.WhyIncomplete(), std::nullopt);
  EXPECT_EQ(Files().size(), config_.num_layers + 1u) << "nothing else stays";
  for (size_t i = 0; i < config_.num_layers; ++i) {
    const auto layer = cache.LoadLayer(i);
    ASSERT_TRUE(layer.ok()) << layer.error().message;
    for (const MomentsKind kind : kLayerKinds) {
      ExpectSame(SelectMoments(*layer, kind), SelectMoments(layers_[i], kind));
    }
  }
  ExpectSame(*cache.LoadHead(), head_);
  EXPECT_EQ(cache.LoadLayer(config_.num_layers).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(MomentsCacheTest, KeepsModelsWithoutAMatrixForValues) {
  config_.tensors.qkv = "self_attn.qkv_proj";
  Fill();
  EXPECT_EQ(Open().WhyIncomplete(), std::nullopt);
  const auto layer = Open().LoadLayer(0);
  ASSERT_TRUE(layer.ok());
  EXPECT_EQ(layer->value.cols, 0u);
  ExpectSame(layer->down, layers_[0].down);
}

TEST_F(MomentsCacheTest, OtherModelsTextsAndOptionsHaveOtherFiles) {
  Fill();
  const auto expect_other = [&](const char* what) {
    const auto why = Open().WhyIncomplete();
    EXPECT_TRUE(why.has_value()) << what;
    EXPECT_EQ(Open().LoadLayer(0).error().code, ErrorCode::kNotFound) << what;
  };
  model_ = "another";
  expect_other("model");
  model_ = "model";
  options_.sink_weight = 10;
  expect_other("sink weight");
  options_ = {};
  for (const std::vector<TokenWindow>& windows : {std::vector<TokenWindow>{{1, 2}, {3, 4, 5}},
                                                  {{1, 2, 3, 4, 5}},
                                                  {{1, 2, 3}, {4, 6}},
                                                  {{1, 2, 3}}}) {
    windows_ = windows;
    expect_other("windows");
  }
  windows_ = {{1, 2, 3}, {4, 5}};
  EXPECT_EQ(Open().WhyIncomplete(), std::nullopt);
}

TEST_F(MomentsCacheTest, BelievesNoDamagedFile) {
  Fill();
  const MomentsCache cache = Open();
  const fs::path path = Files()[2];  // after the head and layer 0
  const std::string good = Read(path);
  const auto expect_damaged = [&](std::string_view bytes) {
    Write(path, bytes);
    const auto layer = cache.LoadLayer(1);
    ASSERT_FALSE(layer.ok());
    EXPECT_EQ(layer.error().code, ErrorCode::kCorrupt) << layer.error().message;
    EXPECT_EQ(cache.WhyIncomplete(), layer.error().message);
  };
  for (size_t at = 0; at < good.size(); at += at < 200 ? 1 : 997) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    expect_damaged(bad);
  }
  for (const size_t size : {good.size() - 1, good.size() / 2, size_t{100}, size_t{1}, size_t{0}}) {
    expect_damaged(std::string_view(good).substr(0, size));
  }
  expect_damaged(good + "x");
  expect_damaged(Read(Files()[1]));
  Write(path, good);
  EXPECT_EQ(cache.WhyIncomplete(), std::nullopt);
}

TEST_F(MomentsCacheTest, BelievesNoFileOfAnotherKeyUnderItsName) {
  Fill();
  const std::vector<fs::path> files = Files();
  model_ = "another";
  Fill();
  for (const fs::path& path : Files()) {
    if (std::find(files.begin(), files.end(), path) != files.end()) continue;
    const std::string name = path.filename().string();
    const std::string place = name.substr(name.find('-'));
    for (const fs::path& old : files) {
      if (old.filename().string().ends_with(place)) Write(path, Read(old));
    }
  }
  EXPECT_EQ(Open().LoadLayer(0).error().code, ErrorCode::kCorrupt);
  EXPECT_NE(Open().WhyIncomplete()->find("another model"), std::string::npos);
}

TEST_F(MomentsCacheTest, RefusesMomentsOfOtherSizes) {
  Rng rng(1);
  EXPECT_EQ(Open().StoreHead(RandomMoments(rng, 35)).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Open().StoreLayer(0, LayerMoments{}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(Files().empty());
}

TEST_F(MomentsCacheTest, RefusesAPlaceThatIsNoDirectory) {
  Write(root_ / "file", "x");
  for (const fs::path& place : {root_ / "file", root_ / "file" / "below"}) {
    const auto cache = MomentsCache::Open(place, config_, model_, windows_, options_);
    ASSERT_FALSE(cache.ok());
    EXPECT_EQ(cache.error().code, ErrorCode::kIo);
  }
}

}  // namespace
}  // namespace ecq
