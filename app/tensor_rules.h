// Rules that single out matrices by their names: --tensor 'REGEX=RULE'.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/import/model_source.h"

namespace ecq {

// What is done differently with one matrix; by default nothing.
struct MatrixRule {
  bool keep = false;          // stored unquantized, in the narrowest type that holds it exactly
  std::optional<double> bpw;  // a rate of its own, on the grid "ecq"
  std::string grid;           // "ecq" or a baseline grid; empty: that of the model
  std::string codec;          // "auto" or a codec; empty: that of the model

  bool operator==(const MatrixRule&) const = default;
};

// Checks one REGEX=RULE. RULE is "keep" or a comma list of bpw:RATE, grid:NAME and codec:NAME; it
// starts behind the last '=', so that a regex may contain some. The regex is that of PCRE2.
// Errors: kInvalidArgument; a regex that does not compile is shown up to the place.
Result<MatrixRule> ParseTensorRule(std::string_view text);

// The rule of every tensor, in their order. A regex matches anywhere in a name; where several
// match, the last one counts, alone. Only weight matrices can have rules. Errors: those of
// ParseTensorRule(); kInvalidArgument for a regex that matches no matrix, or that takes too many
// steps.
Result<std::vector<MatrixRule>> AssignTensorRules(const std::vector<std::string>& rules,
                                                  const std::vector<SourceTensor>& tensors);

}  // namespace ecq
