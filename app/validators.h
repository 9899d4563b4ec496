// Checks of option values that the parser does not have.
#pragma once

#include <CLI/CLI.hpp>

namespace ecq {

CLI::Validator SizeValidator();         // "60MB", turned into bytes
CLI::Validator RateValidator();         // 1 to 7 bits per weight; unlike CLI::Range, refuses "nan"
CLI::Validator CountValidator();        // a whole number, 0 or more
CLI::Validator WeightCountValidator();  // as SizeValidator, bounded: the weights are held in memory
CLI::Validator TensorRuleValidator();   // REGEX=RULE

}  // namespace ecq
