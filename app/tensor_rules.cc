// Splits and parses rules, compiles their regexes with PCRE2 and runs them within limits.
#include "app/tensor_rules.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <charconv>
#include <memory>
#include <new>
#include <utility>

#include "app/opened_model.h"
#include "app/quantize_model.h"
#include "ecq/codec/codec.h"

namespace ecq {
namespace {

constexpr size_t kMaxRegexBytes = 4096;
constexpr uint32_t kStepLimit = 1'000'000;
constexpr uint32_t kHeapLimitKib = 65536;
constexpr double kMinRuleRate = 1;
constexpr double kMaxRuleRate = 7;

Error Invalid(std::string message) {
  return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

class NameRegex {
 public:
  static Result<NameRegex> Compile(std::string_view pattern) {
    if (pattern.empty() || pattern.size() > kMaxRegexBytes) {
      return Invalid(
          fmt::format("the regex has {} bytes; expected 1 to {}", pattern.size(), kMaxRegexBytes));
    }
    int code = 0;
    PCRE2_SIZE offset = 0;
    NameRegex regex;
    regex.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                    PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr));
    if (regex.code_ == nullptr) {
      std::array<PCRE2_UCHAR, 128> text{};
      pcre2_get_error_message(code, text.data(), text.size());
      return Invalid(fmt::format("regex '{}': {} at position {}, behind '{}'", pattern,
                                 reinterpret_cast<const char*>(text.data()), offset,
                                 pattern.substr(0, offset)));
    }
    regex.data_.reset(pcre2_match_data_create(1, nullptr));
    regex.context_.reset(pcre2_match_context_create(nullptr));
    if (regex.data_ == nullptr || regex.context_ == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(regex.context_.get(), kStepLimit);
    pcre2_set_depth_limit(regex.context_.get(), kStepLimit);
    pcre2_set_heap_limit(regex.context_.get(), kHeapLimitKib);
    return regex;
  }

  Result<bool> Matches(std::string_view name) const {
    const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(name.data()),
                                  name.size(), 0, 0, data_.get(), context_.get());
    if (found >= 0) return true;
    if (found == PCRE2_ERROR_NOMATCH) return false;
    std::array<PCRE2_UCHAR, 128> text{};
    pcre2_get_error_message(found, text.data(), text.size());
    return Invalid(fmt::format("cannot be matched with '{}': {}; use a simpler regex", name,
                               reinterpret_cast<const char*>(text.data())));
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  };

  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> data_;
  std::unique_ptr<pcre2_match_context, Free> context_;
};

Status SetRate(std::string_view value, MatrixRule* rule) {
  double rate = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), rate);
  if (error != std::errc() || end != value.data() + value.size() ||
      !(rate >= kMinRuleRate && rate <= kMaxRuleRate)) {
    return Invalid(fmt::format("'bpw:{}': expected {} to {} bits per weight", value, kMinRuleRate,
                               kMaxRuleRate));
  }
  rule->bpw = rate;
  return OkStatus();
}

// One item of a rule.
Status SetItem(std::string_view item, MatrixRule* rule) {
  const size_t colon = item.find(':');
  const std::string_view key = item.substr(0, colon);
  const std::string_view value = colon == std::string_view::npos ? "" : item.substr(colon + 1);
  const auto once = [&](bool is_set) -> Status {
    if (!is_set) return OkStatus();
    return Invalid(fmt::format("{} is given twice in one rule", key));
  };
  if (item == "keep") {
    ECQ_RETURN_IF_ERROR(once(rule->keep));
    rule->keep = true;
    return OkStatus();
  }
  if (key == "bpw") {
    ECQ_RETURN_IF_ERROR(once(rule->bpw.has_value()));
    return SetRate(value, rule);
  }
  if (key == "grid") {
    ECQ_RETURN_IF_ERROR(once(!rule->grid.empty()));
    ECQ_RETURN_IF_ERROR(CheckGrid(value));
    rule->grid = value;
    return OkStatus();
  }
  if (key == "codec") {
    ECQ_RETURN_IF_ERROR(once(!rule->codec.empty()));
    if (value != "auto") ECQ_RETURN_IF_ERROR(CodecFromName(value));
    rule->codec = value;
    return OkStatus();
  }
  return Invalid(fmt::format(
      "'{}': expected keep, bpw:RATE, grid:NAME or codec:NAME, with commas between", item));
}

Result<MatrixRule> ParseRule(std::string_view text) {
  MatrixRule rule;
  while (true) {
    const size_t comma = text.find(',');
    ECQ_RETURN_IF_ERROR(SetItem(text.substr(0, comma), &rule));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  if (rule.keep && (rule.bpw || !rule.codec.empty() || !rule.grid.empty())) {
    return Invalid("keep stores a matrix as it is: nothing else goes with it");
  }
  if (rule.bpw && !rule.grid.empty() && rule.grid != "ecq") {
    return Invalid(fmt::format("grid:{} has a fixed width: bpw does not go with it", rule.grid));
  }
  return rule;
}

struct ParsedRule {
  NameRegex regex;
  MatrixRule rule;
};

Result<ParsedRule> ParseBoth(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos) {
    return Invalid(fmt::format("'{}': expected REGEX=RULE, such as 'down_proj=bpw:5'", text));
  }
  ECQ_TRY(NameRegex regex, NameRegex::Compile(text.substr(0, equals)));
  ECQ_TRY(MatrixRule rule, ParseRule(text.substr(equals + 1)));
  return ParsedRule{std::move(regex), std::move(rule)};
}

Error InRule(std::string_view rule, Error error) {
  error.message = fmt::format("--tensor '{}': {}", rule, error.message);
  return error;
}

}  // namespace

Result<MatrixRule> ParseTensorRule(std::string_view text) {
  ECQ_TRY(ParsedRule parsed, ParseBoth(text));
  return std::move(parsed.rule);
}

Result<std::vector<MatrixRule>> AssignTensorRules(const std::vector<std::string>& rules,
                                                  const std::vector<SourceTensor>& tensors) {
  std::vector<MatrixRule> assigned(tensors.size());
  for (const std::string& text : rules) {
    Result<ParsedRule> parsed = ParseBoth(text);
    if (!parsed.ok()) return InRule(text, std::move(parsed).error());
    bool any = false;
    std::string example;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (!IsWeightMatrix(tensors[i])) continue;
      const Result<bool> matches = parsed->regex.Matches(tensors[i].name);
      if (!matches.ok()) return InRule(text, matches.error());
      if (example.empty()) example = tensors[i].name;
      if (!*matches) continue;
      any = true;
      assigned[i] = parsed->rule;
    }
    if (any) continue;
    return InRule(text, Invalid(fmt::format("matches no matrix; names are such as {}, and 'ecq "
                                            "inspect' lists all",
                                            example)));
  }
  return assigned;
}

}  // namespace ecq
