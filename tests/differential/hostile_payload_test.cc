// Damaged codestreams: every target returns the verdict and the levels of the reference, and none
// reads outside the payload and its padding.
#include <gtest/gtest.h>

#include <functional>

#include "ecq/kernels/packed_kernels.h"
#include "tests/differential/packed_test_util.h"

namespace ecq {
namespace {

constexpr int8_t kByteCanary = 0x5a;

struct Decoded {
  bool ok = false;
  std::vector<int8_t> levels;
  bool operator==(const Decoded&) const = default;
};

Decoded Decode(const PackedView& view, CpuTarget target) {
  Decoded decoded;
  decoded.levels.assign(size_t{view.desc.rows} * view.desc.cols, kByteCanary);
  decoded.ok = PackedKernelsFor(target).decode(view, 0, view.desc.num_tiles, decoded.levels.data(),
                                               view.desc.rows);
  return decoded;
}

// All operations on all targets, against the reference's verdict and levels.
void ExpectAllTargetsAgree(const PackedView& view, const PreparedVector& x, bool* verdict) {
  const Decoded expected = Decode(view, CpuTarget::kScalar);
  *verdict = expected.ok;
  const uint32_t tiles = view.desc.num_tiles;
  const size_t rows = view.desc.rows;
  for (const CpuTarget target : kAllCpuTargets) {
    if (!CpuTargetSupported(target)) continue;
    SCOPED_TRACE(std::string(CpuTargetName(target)));
    const PackedKernels& kernels = PackedKernelsFor(target);
    ASSERT_TRUE(Decode(view, target) == expected);
    std::vector<float> weights(rows * view.desc.cols);
    ASSERT_EQ(kernels.dequantize(view, 0, tiles, weights.data(), rows), expected.ok);
    std::vector<float> y(rows, std::nanf(""));
    ASSERT_EQ(kernels.gemv_f32(view, 0, tiles, x.ForF32(), y.data()), expected.ok);
    for (const float value : y) ASSERT_FALSE(std::isnan(value)) << "output not written";
    y.assign(rows, std::nanf(""));
    ASSERT_EQ(kernels.gemv_i8(view, 0, tiles, x.ForI8(), y.data()), expected.ok);
    for (const float value : y) ASSERT_FALSE(std::isnan(value)) << "output not written";
    const PreparedBatch batch(view, {x, x});
    AlignedBuffer<uint8_t> operand(GemmOperandBytes(view.desc));
    std::vector<float> both(2 * rows, std::nanf(""));
    ASSERT_EQ(kernels.gemm_i8(view, 0, tiles, batch.Get(), operand.data(), both.data()),
              expected.ok);
    for (size_t i = 0; i < both.size(); ++i) ASSERT_EQ(both[i], y[i % rows]);
  }
}

struct Sample {
  QuantizedTensor source;
  ForcedCoding coding;
};

Sample MakeSample(Rng& rng, CodecId codec) {
  Sample sample;
  RandomTensorOptions o;
  o.rows = 1 + static_cast<uint32_t>(rng.Below(200));
  o.cols = 1 + static_cast<uint32_t>(rng.Below(150));
  o.sigma = rng.Below(2) == 0 ? 3 : 20;
  o.biases = rng.Below(2) == 0;
  if (o.cols > 64 && rng.Below(2) == 0) o.span_ends = {64, o.cols};
  const bool is_window = codec == CodecId::kWindow;
  sample.coding.codec = codec;
  const uint32_t precisions = rng.Below(8) == 0 ? 7 : 5;  // mostly what vector code takes
  sample.coding.prob_bits = {8 + static_cast<uint32_t>(rng.Below(precisions)),
                             8 + static_cast<uint32_t>(rng.Below(precisions))};
  if (codec == CodecId::kRans16) {
    sample.coding.prob_bits = {kRans16ProbBits};
    o.sigma = 3;
    o.level_min = -15;
    o.level_max = 16;
    sample.coding.low_bits = static_cast<uint32_t>(rng.Below(kRans16MaxLowBits + 1));
  }
  if (!is_window && rng.Below(5) == 0) sample.coding.lanes = 1u << rng.Below(5);
  sample.coding.blocks_per_tile = 1 + static_cast<uint32_t>(rng.Below(3));
  sample.source = RandomTensor(rng, o);
  if (is_window) {
    sample.coding.has_memory = rng.Below(2) == 0;
    RandomWindowCoding(rng, kWindowTupleBits[rng.Below(std::size(kWindowTupleBits))], sample.source,
                       sample.coding);
  }
  return sample;
}

// What is done to the payload and the index before decoding.
struct Damage {
  const char* name;
  CodecId codec;
  std::function<void(Rng&, std::span<uint8_t> payload, std::vector<uint32_t>& index)> apply;
};

// The first tile ends `units` earlier and the next one begins there.
void MoveTileEnd(Rng& rng, std::vector<uint32_t>& index, int32_t units) {
  const size_t at = 1 + rng.Below(index.size() - 1);
  index[at] = static_cast<uint32_t>(static_cast<int32_t>(index[at]) + units);
}

void Randomize(Rng& rng, std::span<uint8_t> payload) {
  for (uint8_t& byte : payload) byte = static_cast<uint8_t>(rng.Next());
}

const Damage kDamages[] = {
    {"none", CodecId::kRans, [](Rng&, auto, auto&) {}},
    {"random bytes", CodecId::kRans,
     [](Rng& rng, auto payload, auto&) { Randomize(rng, payload); }},
    {"all zeros", CodecId::kRans,
     [](Rng&, auto payload, auto&) { std::fill(payload.begin(), payload.end(), uint8_t{0}); }},
    {"all ones", CodecId::kRans,
     [](Rng&, auto payload, auto&) { std::fill(payload.begin(), payload.end(), uint8_t{0xff}); }},
    {"one bit", CodecId::kRans,
     [](Rng& rng, auto payload, auto&) {
       payload[rng.Below(payload.size())] ^= static_cast<uint8_t>(1u << rng.Below(8));
     }},
    {"a tile cut short", CodecId::kRans,
     [](Rng& rng, auto, auto& index) { MoveTileEnd(rng, index, -1); }},
    {"a tile too long", CodecId::kRans,
     [](Rng& rng, auto, auto& index) { MoveTileEnd(rng, index, 1); }},
    {"none", CodecId::kRans16, [](Rng&, auto, auto&) {}},
    {"random bytes", CodecId::kRans16,
     [](Rng& rng, auto payload, auto&) { Randomize(rng, payload); }},
    {"all zeros", CodecId::kRans16,
     [](Rng&, auto payload, auto&) { std::fill(payload.begin(), payload.end(), uint8_t{0}); }},
    {"all ones", CodecId::kRans16,
     [](Rng&, auto payload, auto&) { std::fill(payload.begin(), payload.end(), uint8_t{0xff}); }},
    {"one bit", CodecId::kRans16,
     [](Rng& rng, auto payload, auto&) {
       payload[rng.Below(payload.size())] ^= static_cast<uint8_t>(1u << rng.Below(8));
     }},
    {"a tile cut short", CodecId::kRans16,
     [](Rng& rng, auto, auto& index) { MoveTileEnd(rng, index, -1); }},
    {"a tile too long", CodecId::kRans16,
     [](Rng& rng, auto, auto& index) { MoveTileEnd(rng, index, 1); }},
    {"random bytes", CodecId::kRaw, [](Rng& rng, auto payload, auto&) { Randomize(rng, payload); }},
    {"the last tile too long", CodecId::kRaw, [](Rng&, auto, auto& index) { ++index.back(); }},
    {"random bytes", CodecId::kWindow,
     [](Rng& rng, auto payload, auto&) { Randomize(rng, payload); }},
    {"all ones", CodecId::kWindow,
     [](Rng&, auto payload, auto&) { std::fill(payload.begin(), payload.end(), uint8_t{0xff}); }},
};

TEST(HostilePayloadTest, EveryTargetAgreesWithTheReference) {
  Rng rng(51);
  for (const Damage& damage : kDamages) {
    int accepted = 0;
    int tried = 0;
    for (int i = 0; i < 60; ++i) {
      const Sample sample = MakeSample(rng, damage.codec);
      PackedTensor packed = ForcePack(sample.source, sample.coding);
      std::vector<uint8_t> longer(packed.payload.begin(), packed.payload.end());
      longer.resize(longer.size() + kPayloadAlignment);  // so that the last tile may grow
      packed.payload = longer;
      GuardedPayload payload(packed.payload, static_cast<uint8_t>(rng.Next()));
      std::vector<uint32_t> index(packed.index.begin(), packed.index.end());
      damage.apply(rng, {payload.data(), packed.payload.size()}, index);
      packed.index = index;
      if (!ValidatePackedTensor(packed, "sample").ok())
        continue;  // refused when the file is opened
      const PackedMatrix matrix(packed);
      PackedView view = matrix.view();
      view.payload = payload.data();
      std::vector<float> x(sample.source.cols);
      for (float& v : x) v = static_cast<float>(rng.Gaussian());
      SCOPED_TRACE(damage.name);
      bool verdict = false;
      ASSERT_NO_FATAL_FAILURE(ExpectAllTargetsAgree(view, PreparedVector(view, x), &verdict));
      accepted += verdict;
      ++tried;
    }
    EXPECT_GE(tried, 20) << damage.name;
    const bool harmless =
        std::string(damage.name) == "none" || damage.codec == CodecId::kWindow ||
        (damage.codec == CodecId::kRaw && std::string(damage.name) == "random bytes");
    if (harmless) {
      EXPECT_EQ(accepted, tried) << damage.name;
    } else {
      // A flipped bit may lie in the zeros between tiles, what it breaks may heal, and raw low bits
      // break nothing.
      EXPECT_LE(accepted, damage.codec == CodecId::kRans16 ? tried / 2 : tried / 4) << damage.name;
    }
  }
}

// The free check at the end of a tile: a changed bit of a rANS tile is noticed. The small states of
// rans16 come back to where they should be after a wrong symbol more often: of 15,296 bits 223 go
// unnoticed here.
TEST(HostilePayloadTest, AlmostEveryFlippedBitIsNoticed) {
  for (const CodecId codec : {CodecId::kRans, CodecId::kRans16}) {
    Rng rng(52);
    RandomTensorOptions o;
    o.rows = 64;
    o.cols = 64;
    o.level_min = -15;
    o.level_max = 16;
    const QuantizedTensor source = RandomTensor(rng, o);
    ForcedCoding coding;
    coding.codec = codec;
    coding.prob_bits = {codec == CodecId::kRans ? 12 : kRans16ProbBits};
    coding.blocks_per_tile = 2;
    const PackedMatrix matrix(ForcePack(source, coding));
    const size_t bytes = size_t{matrix.tensor().index.back()} * kIndexUnitBytes;
    GuardedPayload payload(matrix.tensor().payload, 0);
    PackedView view = matrix.view();
    view.payload = payload.data();
    const CpuTarget target = BestCpuTarget();
    ASSERT_TRUE(Decode(view, target).ok);
    size_t unnoticed = 0;
    for (size_t bit = 0; bit < 8 * bytes; ++bit) {
      payload.data()[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      unnoticed += Decode(view, target).ok;
      payload.data()[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    }
    EXPECT_LE(unnoticed, codec == CodecId::kRans ? 0 : 8 * bytes / 50) << "of " << 8 * bytes;
  }
}

// A tile of an odd number of words ends with a word that must be 0; one of an even number with a
// word that matters. Both are looked at by every target.
TEST(HostilePayloadTest, TheLastWordOfATileIsChecked) {
  Rng rng(53);
  for (uint32_t cols = 64; cols < 84; ++cols) {
    RandomTensorOptions o;
    o.rows = 32;
    o.cols = cols;
    ForcedCoding coding;
    coding.prob_bits = {12};
    const PackedMatrix matrix(ForcePack(RandomTensor(rng, o), coding));
    GuardedPayload payload(matrix.tensor().payload, 0);
    PackedView view = matrix.view();
    view.payload = payload.data();
    uint8_t* const last_word = payload.data() + size_t{view.index[1]} * kIndexUnitBytes - 2;
    for (const CpuTarget target : kAllCpuTargets) {
      if (!CpuTargetSupported(target)) continue;
      ASSERT_TRUE(Decode(view, target).ok);
      for (uint32_t bit = 0; bit < 16; ++bit) {
        last_word[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
        EXPECT_FALSE(Decode(view, target).ok) << cols << ' ' << CpuTargetName(target);
        last_word[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      }
    }
  }
}

// A payload between two pages that fault: right after the first if `at_start`, else right before
// the second.
class FencedPayload {
 public:
  FencedPayload(std::span<const uint8_t> payload, bool at_start) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t readable = AlignUp(payload.size(), page);
    mapped_bytes_ = readable + 2 * page;
    base_ = static_cast<uint8_t*>(
        mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + page, readable, PROT_READ | PROT_WRITE);
    data_ = base_ + page + (at_start ? 0 : readable - payload.size());
    std::copy(payload.begin(), payload.end(), data_);
  }
  FencedPayload(const FencedPayload&) = delete;
  FencedPayload& operator=(const FencedPayload&) = delete;
  ~FencedPayload() { munmap(base_, mapped_bytes_); }

  const uint8_t* data() const { return data_; }

 private:
  uint8_t* base_;
  uint8_t* data_;
  size_t mapped_bytes_;
};

// Window kernels load the row above the first one and whole vectors at the end: neither may leave
// the codestreams, not even into the padding that other codecs need.
TEST(HostilePayloadTest, WindowKernelsStayInsideTheCodestreams) {
  Rng rng(54);
  for (int i = 0; i < 100; ++i) {
    const Sample sample = MakeSample(rng, CodecId::kWindow);
    const PackedMatrix matrix(ForcePack(sample.source, sample.coding));
    const PreparedVector x(matrix.view(), std::vector<float>(sample.source.cols, 1.0f));
    for (const bool at_start : {true, false}) {
      const FencedPayload payload(sample.coding.payload, at_start);
      PackedView view = matrix.view();
      view.payload = payload.data();
      bool verdict = false;
      ASSERT_NO_FATAL_FAILURE(ExpectAllTargetsAgree(view, x, &verdict));
      EXPECT_TRUE(verdict);
      const Decoded decoded = Decode(view, CpuTarget::kScalar);
      for (uint32_t r = 0; r < view.desc.rows; ++r) {
        for (uint32_t c = 0; c < view.desc.cols; ++c) {
          ASSERT_EQ(decoded.levels[size_t{c} * view.desc.rows + r],
                    sample.source.levels[size_t{r} * view.desc.cols + c]);
        }
      }
    }
  }
}

// The loader refuses window tiles of another size than theirs; kernels notice them all the same.
TEST(HostilePayloadTest, WindowTilesOfAWrongSizeAreNoticed) {
  Rng rng(55);
  for (int i = 0; i < 20; ++i) {
    const Sample sample = MakeSample(rng, CodecId::kWindow);
    PackedTensor packed = ForcePack(sample.source, sample.coding);
    std::vector<uint32_t> index(packed.index.begin(), packed.index.end());
    ++index.back();
    packed.index = index;
    EXPECT_FALSE(ValidatePackedTensor(packed, "sample").ok());
    const PackedMatrix matrix(packed);
    for (const CpuTarget target : kAllCpuTargets) {
      if (!CpuTargetSupported(target)) continue;
      EXPECT_FALSE(Decode(matrix.view(), target).ok) << CpuTargetName(target);
    }
  }
}

}  // namespace
}  // namespace ecq
