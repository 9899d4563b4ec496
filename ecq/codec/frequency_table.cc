#include "ecq/codec/frequency_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "ecq/base/bytes.h"

namespace ecq {
namespace {

Error BadTable(const std::string& what) {
  return Error{ErrorCode::kBadTable, "symbol table: " + what};
}

Status CheckRange(int32_t level_min, uint64_t num_levels, uint32_t prob_bits) {
  if (prob_bits < kRansMinProbBits || prob_bits > kRansMaxProbBits) {
    return BadTable("expected prob_bits in [8, 14], got " + std::to_string(prob_bits));
  }
  if (num_levels == 0 || level_min < FrequencyTable::kMinLevel ||
      level_min + static_cast<int64_t>(num_levels) - 1 > FrequencyTable::kMaxLevel) {
    return BadTable("expected levels inside [-128, 127], got " + std::to_string(num_levels) +
                    " from " + std::to_string(level_min));
  }
  return OkStatus();
}

void AppendVarint(std::vector<uint8_t>& out, uint32_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<uint8_t>(value | 0x80));
  out.push_back(static_cast<uint8_t>(value));
}

// Cost in counts * log2 of raising or lowering a frequency by one; used to place the surplus.
double GainOfRaising(uint64_t count, uint32_t freq) {
  return static_cast<double>(count) * std::log2((freq + 1.0) / freq);
}
double LossOfLowering(uint64_t count, uint32_t freq) {
  return static_cast<double>(count) * std::log2(freq / (freq - 1.0));
}

}  // namespace

FrequencyTable::FrequencyTable(Kind kind, int32_t level_min, uint32_t prob_bits,
                               std::vector<uint32_t> freqs, uint32_t rho_q32)
    : kind_(kind),
      level_min_(level_min),
      prob_bits_(prob_bits),
      rho_q32_(rho_q32),
      freqs_(std::move(freqs)),
      cums_(freqs_.size()) {
  uint32_t cum = 0;
  for (size_t i = 0; i < freqs_.size(); ++i) {
    cums_[i] = cum;
    cum += freqs_[i];
  }
}

Result<FrequencyTable> FrequencyTable::FromCounts(std::span<const uint64_t> counts,
                                                  int32_t level_min, uint32_t prob_bits) {
  size_t first = 0;
  size_t last = counts.size();
  while (first < last && counts[first] == 0) ++first;
  while (last > first && counts[last - 1] == 0) --last;
  counts = counts.subspan(first, last - first);
  level_min += static_cast<int32_t>(first);
  if (auto status = CheckRange(level_min, counts.size(), prob_bits); !status.ok()) {
    return Error{ErrorCode::kInvalidArgument, status.error().message};
  }

  const uint32_t total_freq = 1u << prob_bits;
  uint64_t total = 0;
  size_t distinct = 0;
  for (const uint64_t c : counts) {
    total += c;
    distinct += c > 0;
  }
  if (distinct > total_freq) {
    return Error{ErrorCode::kInvalidArgument, "symbol table: " + std::to_string(distinct) +
                                                  " levels do not fit 2^" +
                                                  std::to_string(prob_bits) + " slots"};
  }

  std::vector<uint32_t> freqs(counts.size(), 0);
  int64_t surplus = total_freq;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double exact = static_cast<double>(counts[i]) / static_cast<double>(total) * total_freq;
    freqs[i] = std::max<uint32_t>(1, static_cast<uint32_t>(std::lround(exact)));
    surplus -= freqs[i];
  }
  for (; surplus != 0; surplus += surplus > 0 ? -1 : 1) {
    size_t best = counts.size();
    double best_cost = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < counts.size(); ++i) {
      if (freqs[i] == 0 || (surplus < 0 && freqs[i] == 1)) continue;
      const double cost =
          surplus > 0 ? -GainOfRaising(counts[i], freqs[i]) : LossOfLowering(counts[i], freqs[i]);
      if (cost < best_cost) {
        best_cost = cost;
        best = i;
      }
    }
    freqs[best] += surplus > 0 ? 1 : -1;
  }
  return FrequencyTable(Kind::kStored, level_min, prob_bits, std::move(freqs), 0);
}

Result<FrequencyTable> FrequencyTable::Gaussian(uint32_t rho_q32, int32_t level_min,
                                                uint32_t num_levels, uint32_t prob_bits) {
  ECQ_RETURN_IF_ERROR(CheckRange(level_min, num_levels, prob_bits));
  const int32_t level_max = level_min + static_cast<int32_t>(num_levels) - 1;
  const uint32_t total_freq = 1u << prob_bits;
  if (level_min > 0 || level_max < 0 || num_levels > total_freq) {
    return BadTable("a Gaussian table must contain level 0 and fit its slots");
  }
  // weight[j] = 2^31 * rho^(j^2) by the recurrence rho^((j+1)^2) = rho^(j^2) * rho^(2j+1), all
  // factors truncated to 32 fractional bits.
  const uint32_t reach = static_cast<uint32_t>(std::max(-level_min, level_max));
  std::vector<uint64_t> weight(reach + 1);
  const uint64_t step = (uint64_t{rho_q32} * rho_q32) >> 32;
  uint64_t factor = rho_q32;
  weight[0] = uint64_t{1} << 31;
  for (uint32_t j = 1; j <= reach; ++j) {
    weight[j] = (weight[j - 1] * factor) >> 32;
    factor = (factor * step) >> 32;
  }
  uint64_t sum = 0;
  for (int32_t level = level_min; level <= level_max; ++level) sum += weight[std::abs(level)];

  std::vector<uint32_t> freqs(num_levels);
  uint32_t used = 0;
  for (int32_t level = level_min; level <= level_max; ++level) {
    const uint64_t share = weight[std::abs(level)] * (total_freq - num_levels) / sum;
    freqs[level - level_min] = 1 + static_cast<uint32_t>(share);
    used += freqs[level - level_min];
  }
  // Fewer than num_levels slots are missing: one each to the levels nearest to 0.
  uint32_t missing = total_freq - used;
  for (uint32_t turn = 0; missing > 0; ++turn) {  // 0, -1, 1, -2, 2, ...
    const int32_t distance = static_cast<int32_t>((turn + 1) / 2);
    const int32_t level = turn % 2 == 1 ? -distance : distance;
    if (level < level_min || level > level_max) continue;
    ++freqs[level - level_min];
    --missing;
  }
  return FrequencyTable(Kind::kGaussian, level_min, prob_bits, std::move(freqs), rho_q32);
}

Result<FrequencyTable> FrequencyTable::Parse(std::span<const uint8_t>& bytes) {
  constexpr size_t kHeaderBytes = 4;
  const auto truncated = [] {
    return Error{ErrorCode::kTruncated, "symbol table: the record ends too early"};
  };
  if (bytes.size() < kHeaderBytes) return truncated();
  const uint8_t kind = bytes[0];
  const uint32_t prob_bits = bytes[1];
  const int32_t level_min = static_cast<int8_t>(bytes[2]);
  const uint32_t num_levels = uint32_t{bytes[3]} + 1;
  std::span<const uint8_t> rest = bytes.subspan(kHeaderBytes);
  ECQ_RETURN_IF_ERROR(CheckRange(level_min, num_levels, prob_bits));

  if (kind == static_cast<uint8_t>(Kind::kGaussian)) {
    if (rest.size() < sizeof(uint32_t)) return truncated();
    const uint32_t rho_q32 = LoadLe<uint32_t>(rest.data());
    bytes = rest.subspan(sizeof(uint32_t));
    return Gaussian(rho_q32, level_min, num_levels, prob_bits);
  }
  if (kind != static_cast<uint8_t>(Kind::kStored)) {
    return BadTable("expected kind 1 (stored) or 2 (gaussian), got " + std::to_string(kind));
  }
  std::vector<uint32_t> freqs(num_levels);
  uint32_t sum = 0;
  for (uint32_t& freq : freqs) {
    for (uint32_t shift = 0;; shift += 7) {
      if (rest.empty()) return truncated();
      const uint8_t byte = rest.front();
      rest = rest.subspan(1);
      freq |= uint32_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
      if (shift == 14) return BadTable("a frequency is longer than 3 bytes");
    }
    if (freq > 1u << prob_bits) return BadTable("a frequency exceeds 2^prob_bits");
    sum += freq;
  }
  if (sum != 1u << prob_bits) {
    return BadTable("frequencies must sum to " + std::to_string(1u << prob_bits) + ", got " +
                    std::to_string(sum));
  }
  bytes = rest;
  return FrequencyTable(Kind::kStored, level_min, prob_bits, std::move(freqs), 0);
}

void FrequencyTable::AppendTo(std::vector<uint8_t>& out) const {
  out.push_back(static_cast<uint8_t>(kind_));
  out.push_back(static_cast<uint8_t>(prob_bits_));
  out.push_back(static_cast<uint8_t>(level_min_));
  out.push_back(static_cast<uint8_t>(num_levels() - 1));
  if (kind_ == Kind::kGaussian) {
    out.resize(out.size() + sizeof(uint32_t));
    StoreLe(out.data() + out.size() - sizeof(uint32_t), rho_q32_);
    return;
  }
  for (const uint32_t freq : freqs_) AppendVarint(out, freq);
}

uint64_t FrequencyTable::SerializedBytes() const {
  std::vector<uint8_t> record;
  AppendTo(record);
  return record.size();
}

double FrequencyTable::CodeLengthBits(int32_t level) const {
  const uint32_t freq = Freq(level);
  if (freq == 0) return std::numeric_limits<double>::infinity();
  return static_cast<double>(prob_bits_) - std::log2(static_cast<double>(freq));
}

double FrequencyTable::CrossEntropyBits(std::span<const uint64_t> counts,
                                        int32_t counts_level_min) const {
  double bits = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    bits +=
        static_cast<double>(counts[i]) * CodeLengthBits(counts_level_min + static_cast<int32_t>(i));
  }
  return bits;
}

std::vector<RansSlot> FrequencyTable::Slots() const {
  std::vector<RansSlot> slots;
  slots.reserve(size_t{1} << prob_bits_);
  for (size_t i = 0; i < freqs_.size(); ++i) {
    for (uint32_t bias = 0; bias < freqs_[i]; ++bias) {
      slots.push_back({freqs_[i], bias, level_min_ + static_cast<int32_t>(i)});
    }
  }
  return slots;
}

}  // namespace ecq
