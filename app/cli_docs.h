// Man page and shell completions, made from the definition of the command line itself.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace ecq {

// troff source of ecq(1).
std::string ManPage(const CLI::App& app, const std::string& version);

std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);
std::string FishCompletion(const CLI::App& app);

}  // namespace ecq
