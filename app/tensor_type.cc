#include "app/tensor_type.h"

#include <algorithm>
#include <vector>

namespace ecq {
namespace {

std::vector<std::string_view> SplitAtDots(std::string_view name) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t dot = name.find('.');
    parts.push_back(name.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    name.remove_prefix(dot + 1);
  }
}

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string TensorTypeOf(std::string_view name) {
  std::vector<std::string_view> parts = SplitAtDots(name);
  if (parts.size() > 1 && parts.back() == "weight") parts.pop_back();
  const std::string_view last = parts.back();
  if (last == "embed_tokens" || last == "word_embeddings") return "embedding";
  if (last == "lm_head") return "head";
  if (last != "dense") return std::string(last);
  const auto number = std::find_if(parts.rbegin(), parts.rend(), IsNumber);
  const auto first = number == parts.rend() ? parts.begin() : number.base();
  return std::string(first->data(), last.data() + last.size());
}

}  // namespace ecq
