#include "app/validators.h"

#include <cstdint>
#include <string>

#include "app/tensor_rules.h"
#include "app/units.h"

namespace ecq {

CLI::Validator SizeValidator() {
  return CLI::Validator(
      [](std::string& text) {
        const auto bytes = ParseSize(text);
        if (!bytes) return "'" + text + "' is no size; write 60MB, 1.5GiB or a number of bytes";
        text = std::to_string(*bytes);
        return std::string();
      },
      "SIZE");
}

CLI::Validator RateValidator() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        double rate = 0;
        if (CLI::detail::lexical_cast(text, rate) && rate >= 1 && rate <= 7) return {};
        return "expected 1 to 7 bits per weight, got '" + text + "'";
      },
      "RATE");
}

CLI::Validator CountValidator() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos) return {};
        return "expected a whole number, 0 or more, got '" + text + "'";
      },
      "");
}

CLI::Validator WeightCountValidator() {
  return CLI::Validator(
      [](std::string& text) {
        constexpr uint64_t kLeast = 4096;
        constexpr uint64_t kMost = uint64_t{1} << 28;
        const auto count = ParseSize(text);
        if (!count || *count < kLeast || *count > kMost) {
          return "expected a number from 4096 to 268435456, such as 2M, got '" + text + "'";
        }
        text = std::to_string(*count);
        return std::string();
      },
      "COUNT");
}

CLI::Validator TensorRuleValidator() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        const auto rule = ParseTensorRule(text);
        return rule.ok() ? std::string() : rule.error().message;
      },
      "");
}

}  // namespace ecq
