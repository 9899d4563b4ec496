// JSON as the commands print it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace ecq {

// Indented; bytes of paths and names that are no UTF-8 become U+FFFD.
inline std::string JsonText(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace ecq
