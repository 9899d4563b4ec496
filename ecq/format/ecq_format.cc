#include "ecq/format/ecq_format.h"

#include <algorithm>

namespace ecq {

bool IsModelTensorName(std::string_view name) {
  if (name.empty() || name.starts_with(kReservedPrefix)) return false;
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos || !name.substr(dot).starts_with(".ecq_");
}

bool IsSideFileName(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 255 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace ecq
