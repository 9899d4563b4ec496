// The greedy pair merge that byte-level and SentencePiece-style BPE share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <queue>
#include <vector>

namespace ecq {

inline constexpr uint32_t kNoToken = std::numeric_limits<uint32_t>::max();

// A run of the text that is one token so far; the live runs form a doubly linked list.
struct MergeSymbol {
  uint32_t id;          // kNoToken: no token has exactly this text
  uint32_t begin_byte;  // in the text that is being merged
  uint32_t size_bytes;
  uint32_t previous;  // index, kNoToken at the start
  uint32_t next;      // index, kNoToken at the end
};

template <typename Rank>
struct PairMerge {
  Rank rank;  // the lowest goes first
  uint32_t id;
};

// Merges adjacent symbols, lowest rank first and leftmost among equals, until no pair merges: in
// O(n log n) lookups for n symbols. Reusable, so that short words cost no allocation.
template <typename Rank>
class PairMerger {
 public:
  void Clear() { symbols_.clear(); }

  void Append(uint32_t id, uint32_t begin_byte, uint32_t size_bytes) {
    const uint32_t index = static_cast<uint32_t>(symbols_.size());
    if (index > 0) symbols_.back().next = index;
    symbols_.push_back({id, begin_byte, size_bytes, index > 0 ? index - 1 : kNoToken, kNoToken});
  }

  // `find_merge`(left, right) returns std::optional<PairMerge<Rank>>.
  template <typename FindMerge>
  void Run(const FindMerge& find_merge) {
    for (uint32_t i = 0; i + 1 < symbols_.size(); ++i) Propose(i, find_merge);
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      MergeSymbol& left = symbols_[best.left];
      // A candidate is stale if one of its symbols has been merged since; then the pair that stands
      // there now decides, at its old place in the order, if it makes the same token. This is what
      // Hugging Face tokenizers does.
      if (left.size_bytes == 0 || left.next == kNoToken) continue;
      MergeSymbol& right = symbols_[left.next];
      const auto now = find_merge(left, right);
      if (!now || now->id != best.id) continue;

      left.id = best.id;
      left.size_bytes += right.size_bytes;
      right.size_bytes = 0;
      left.next = right.next;
      if (left.next != kNoToken) symbols_[left.next].previous = best.left;
      if (left.previous != kNoToken) Propose(left.previous, find_merge);
      Propose(best.left, find_merge);
    }
  }

  template <typename Visit>
  void ForEach(const Visit& visit) const {
    for (size_t i = 0; i < symbols_.size();) {
      visit(symbols_[i]);
      if (symbols_[i].next == kNoToken) break;
      i = symbols_[i].next;
    }
  }

 private:
  struct Candidate {
    Rank rank;
    uint32_t left;  // index of the left symbol
    uint32_t id;    // of the merged token

    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };

  template <typename FindMerge>
  void Propose(uint32_t left, const FindMerge& find_merge) {
    const uint32_t next = symbols_[left].next;
    if (next == kNoToken) return;
    if (const auto merge = find_merge(symbols_[left], symbols_[next])) {
      queue_.push({merge->rank, left, merge->id});
    }
  }

  std::vector<MergeSymbol> symbols_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue_;
};

}  // namespace ecq
