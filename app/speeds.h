// The line about speed that commands which generate print with -v.
#pragma once

#include <string>

#include "ecq/model/model.h"
#include "ecq/runtime/generate.h"

namespace ecq {

// "prompt 5 tokens, 100.0 tokens/s; generated ...", without a line end.
std::string SpeedLine(const GenerateStats& stats, const Model& model, size_t threads);

}  // namespace ecq
