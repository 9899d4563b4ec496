// Little-endian access, size arithmetic and aligned buffers.
#include "ecq/base/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <new>

#include "ecq/base/aligned_buffer.h"

namespace ecq {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(BytesTest, LoadsAndStoresLittleEndianAtAnyAddress) {
  std::array<uint8_t, 12> bytes{};
  for (size_t at = 0; at < 4; ++at) {
    StoreLe(bytes.data() + at, uint64_t{0x0102030405060708});
    EXPECT_EQ(bytes[at], 0x08);
    EXPECT_EQ(bytes[at + 7], 0x01);
    EXPECT_EQ(LoadLe<uint64_t>(bytes.data() + at), 0x0102030405060708u);
    EXPECT_EQ(LoadLe<uint16_t>(bytes.data() + at), 0x0708u);
  }
}

TEST(BytesTest, DivideRoundUpNeverOverflows) {
  EXPECT_EQ(DivideRoundUp(0, 32), 0u);
  EXPECT_EQ(DivideRoundUp(1, 32), 1u);
  EXPECT_EQ(DivideRoundUp(32, 32), 1u);
  EXPECT_EQ(DivideRoundUp(33, 32), 2u);
  EXPECT_EQ(DivideRoundUp(kMax, 2), kMax / 2 + 1);
  EXPECT_EQ(DivideRoundUp(kMax, 1), kMax);
}

TEST(BytesTest, AlignUp) {
  EXPECT_EQ(AlignUp(0, 16), 0u);
  EXPECT_EQ(AlignUp(1, 16), 16u);
  EXPECT_EQ(AlignUp(16, 16), 16u);
  EXPECT_EQ(AlignUp(17, 3), 18u);
}

TEST(BytesTest, CheckedArithmeticRefusesOverflow) {
  EXPECT_EQ(CheckedMul(0, kMax), 0u);
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, (uint64_t{1} << 32) - 1),
            kMax - ((uint64_t{1} << 32) - 1));
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(CheckedAdd(kMax, 0), kMax);
  EXPECT_EQ(CheckedAdd(kMax, 1), std::nullopt);
}

TEST(AlignedBufferTest, IsAlignedAndMovable) {
  for (const size_t size : {1, 15, 16, 17, 1000}) {
    AlignedBuffer<float> buffer(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kCacheLineBytes, 0u);
    EXPECT_EQ(buffer.size(), size);
    buffer.Fill(2.0f);
    AlignedBuffer<float> moved(std::move(buffer));
    for (const float x : moved) ASSERT_EQ(x, 2.0f);
  }
  EXPECT_TRUE(AlignedBuffer<int>().empty());
  EXPECT_EQ(AlignedBuffer<int>(0).data(), nullptr);
}

TEST(AlignedBufferTest, RefusesSizesThatOverflow) {
  EXPECT_THROW(AlignedBuffer<uint64_t>(kMax / 4), std::bad_alloc);
}

}  // namespace
}  // namespace ecq
