// Normalised symbol frequencies of the rANS codec.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/portable/rans.h"

namespace ecq {

// Frequencies of the consecutive levels level_min .. level_min + num_levels - 1.
//
// Invariants, established by every factory: the frequencies sum to exactly 2^prob_bits; a level has
// frequency 0 if and only if it cannot be coded; levels lie in [-128, 127].
class FrequencyTable {
 public:
  enum class Kind : uint8_t { kStored = 1, kGaussian = 2 };

  // Levels a table may cover.
  static constexpr int32_t kMinLevel = -128;
  static constexpr int32_t kMaxLevel = 127;

  // Normalises a histogram so that every level that occurs keeps a frequency of at least 1 and the
  // cross-entropy is close to minimal: counts are rounded, then the surplus is moved where it costs
  // least. counts[i] belongs to level_min + i.
  // Errors: kInvalidArgument if nothing was counted, more levels occur than slots exist, or the
  // levels or prob_bits are out of range.
  static Result<FrequencyTable> FromCounts(std::span<const uint64_t> counts, int32_t level_min,
                                           uint32_t prob_bits);

  // Weights rho^(level^2) with rho = rho_q32 / 2^32, in integer arithmetic (docs/format.md, 5.2).
  // Errors: kBadTable if level 0 is outside or 2^prob_bits is smaller than the number of levels.
  static Result<FrequencyTable> Gaussian(uint32_t rho_q32, int32_t level_min, uint32_t num_levels,
                                         uint32_t prob_bits);

  // Reads one table record (docs/format.md, 5) from the front of `bytes` and drops it from there.
  // Errors: kTruncated, kBadTable.
  static Result<FrequencyTable> Parse(std::span<const uint8_t>& bytes);

  void AppendTo(std::vector<uint8_t>& out) const;  // the record Parse() reads
  uint64_t SerializedBytes() const;

  uint32_t prob_bits() const { return prob_bits_; }
  int32_t level_min() const { return level_min_; }
  uint32_t num_levels() const { return static_cast<uint32_t>(freqs_.size()); }
  int32_t level_max() const { return level_min_ + static_cast<int32_t>(freqs_.size()) - 1; }

  bool Contains(int32_t level) const { return Freq(level) > 0; }
  // 0 for levels outside.
  uint32_t Freq(int32_t level) const {
    const uint32_t i = static_cast<uint32_t>(level - level_min_);
    return i < freqs_.size() ? freqs_[i] : 0;
  }
  // Sum of the frequencies below `level`. Pre: the level is inside.
  uint32_t Cum(int32_t level) const { return cums_[static_cast<uint32_t>(level - level_min_)]; }

  // -log2 of the level's probability; +inf if it cannot be coded.
  double CodeLengthBits(int32_t level) const;
  // Total bits for a histogram: the cross-entropy a perfect coder would reach with this table.
  double CrossEntropyBits(std::span<const uint64_t> counts, int32_t counts_level_min) const;

  // All 2^prob_bits slots in order.
  std::vector<RansSlot> Slots() const;

  bool operator==(const FrequencyTable& other) const {
    return prob_bits_ == other.prob_bits_ && level_min_ == other.level_min_ &&
           freqs_ == other.freqs_;
  }

 private:
  FrequencyTable(Kind kind, int32_t level_min, uint32_t prob_bits, std::vector<uint32_t> freqs,
                 uint32_t rho_q32);

  Kind kind_;
  int32_t level_min_;
  uint32_t prob_bits_;
  uint32_t rho_q32_;  // kGaussian only
  std::vector<uint32_t> freqs_;
  std::vector<uint32_t> cums_;
};

}  // namespace ecq
