// The verbs of the `ecq` command: their arguments, and a function that runs each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ecq/base/result.h"

namespace ecq {

struct QuantizeArgs {
  std::string source;
  std::string output;
  std::optional<double> bpw;
  std::optional<uint64_t> size_bytes;
  std::optional<double> embedding_bpw;
  std::string preset;                     // empty: none
  std::vector<std::string> tensor_rules;  // REGEX=RULE
  std::string grid = "ecq";
  std::string codec = "auto";
  int window = 12;
  std::string mode;       // empty: data-free, or zsic where a text is given
  std::string calibrate;  // a text file or a directory; empty: the text that ships
  size_t calibration_tokens = 131072;
  std::string calibration_cache;  // a directory; empty: none
  std::string card;               // a file for the model card; empty: none
  std::string command_line;       // as typed, for the card
  bool dry_run = false;
  bool force = false;
  bool resume = false;
  bool json = false;
  size_t threads = 0;  // 0: one for each physical core
};

struct RunArgs {
  std::string model;
  std::string prompt;
  size_t max_tokens = 128;
  double temperature = 0;
  size_t top_k = 0;
  double top_p = 1;
  uint64_t seed = 0;
  size_t threads = 0;
  size_t context = 0;  // 0: what prompt and max_tokens need
  std::string activations = "i8";
  std::string kv = "f16";
  bool verbose = false;
};

struct ChatArgs {
  std::string model;
  std::string system;
  std::optional<std::string> prompt;  // one question; none: a dialogue
  std::string chat_template;          // a file or a name; "": the model's own
  bool show_template = false;         // print the prompt only
  size_t max_tokens = 0;              // of an answer; 0: as many as the context holds
  double temperature = 0;
  size_t top_k = 0;
  double top_p = 1;
  uint64_t seed = 0;
  size_t threads = 0;
  size_t context = 0;  // 0: what the model takes, at most 8192
  std::string activations = "i8";
  std::string kv = "f16";
  bool verbose = false;
};

struct EvalArgs {
  std::string model;
  std::string text;      // a text file, or
  std::string tokens;    // a file of u16 token ids, documents starting with the begin token
  size_t documents = 0;  // of `tokens`; 0: all
  size_t context = 1024;
  size_t max_tokens = 0;  // 0: all
  std::string protocol = "full";
  std::string base;
  std::string activations = "f32";
  std::string kv = "f32";
  bool json = false;
  size_t threads = 0;
};

struct BenchArgs {
  std::string model;
  size_t prompt = 512;    // tokens; 0: not measured
  size_t generate = 128;  // tokens; 0: not measured
  size_t depth = 0;       // tokens in the cache before the generated ones
  size_t repetitions = 5;
  std::vector<size_t> threads;  // empty: one for each physical core
  std::string activations = "i8";
  std::string kv = "f16";
  std::string output = "md";  // md, csv or json
  bool kernels = false;
};

struct InspectArgs {
  std::string file;
  uint32_t ranks = 0;  // report how it shards instead, unless 0
  bool json = false;
};

struct VerifyArgs {
  std::string file;
  std::string against;
  size_t threads = 0;
};

struct AnalyzeArgs {
  std::string source;          // or
  std::string synthetic;       // "gaussian", "laplace" or "student5"
  uint64_t weights = 1000000;  // of a synthetic source
  std::string plot;            // a directory for charts; empty: none
  bool json = false;
  size_t threads = 0;
};

struct UnpackArgs {
  std::string file;
  std::string output;
  std::string command_line;  // as typed, for the card
  bool force = false;
  bool dequantize = false;  // plain F32 weights instead of the coded ones
};

struct PackArgs {
  std::string directory;
  std::string output;
  bool force = false;
};

// Each prints its result to standard output and progress to standard error.
Status RunQuantize(const QuantizeArgs& args);
Status RunGenerate(const RunArgs& args);
Status RunChat(const ChatArgs& args);
Status RunEval(const EvalArgs& args);
Status RunBench(const BenchArgs& args);
Status RunInspect(const InspectArgs& args);
Status RunVerify(const VerifyArgs& args);
Status RunAnalyze(const AnalyzeArgs& args);
Status RunUnpack(const UnpackArgs& args);
Status RunPack(const PackArgs& args);

}  // namespace ecq
