// The `ecq` command: flags, help, exit codes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "app/build_info.h"
#include "app/cli_docs.h"
#include "app/commands.h"
#include "app/presets.h"
#include "app/shard_report.h"
#include "app/units.h"
#include "app/validators.h"
#include "ecq/backend/target_override.h"

namespace {

using ecq::CountValidator;
using ecq::RateValidator;
using ecq::SizeValidator;
using ecq::Status;

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;  // refused input, failed check
constexpr int kExitUsage = 2;

constexpr char kOutputFailed[] = "standard output: cannot write all of the result";

constexpr char kModelHelp[] =
    "a Hugging Face or MLX directory, a .gguf, a llama2.c .bin or an .ecq";

void AddThreads(CLI::App& command, size_t& threads, const char* flags) {
  command.add_option(flags, threads, "threads (default: one for each physical core)")
      ->check(CLI::Range(1, 1024));
}

CLI::App* AddQuantize(CLI::App& app, ecq::QuantizeArgs& args) {
  CLI::App* c = app.add_subcommand("quantize", "Make an .ecq file from a model");
  c->add_option("SRC", args.source, kModelHelp)->required();
  c->add_option("-o,--output", args.output, "the .ecq file to write");
  auto* bpw = c->add_option("--bpw", args.bpw,
                            "total bits per weight over all matrices, scales and tables included "
                            "(default 4.5)")
                  ->check(RateValidator());
  c->add_option("--size", args.size_bytes, "most bytes of the whole file instead, such as 60MB")
      ->transform(SizeValidator())
      ->excludes(bpw);
  c->add_option("--embedding-bpw", args.embedding_bpw,
                "bits per weight of embedding and head (default: as --bpw, at most 6)")
      ->check(RateValidator());
  c->add_option("--preset", args.preset,
                "a rate and codec by name; --bpw, --size or --codec beside it count instead")
      ->check(CLI::IsMember(ecq::PresetNames()));
  c->add_flag_callback(
      "--list-presets", [] { throw CLI::CallForVersion(ecq::DescribePresets(), 0); },
      "say what each preset sets and when to take it, and exit");
  c->add_option("--tensor", args.tensor_rules,
                "treat the matrices whose names match otherwise: RULE is keep (unquantized) or a "
                "list of bpw:RATE, grid:NAME, codec:NAME with commas; of several that match the "
                "last counts")
      ->type_name("REGEX=RULE")
      ->allow_extra_args(false)
      ->check(ecq::TensorRuleValidator());
  c->add_option("--grid", args.grid,
                "ecq, or a fixed-width grid to compare with: tensor-minmax4, tensor-absmax4, row4, "
                "q4_0, mlx4-g64, mlx3-g64");
  c->add_option("--codec", args.codec,
                "auto (smallest), rans, rans16 (three times as fast, 1 % larger), raw or "
                "window (fastest; 1 to 4 bits)");
  c->add_option(
       "--window", args.window,
       "codec window: 12 bits, or 8, which is quicker to decode and needs about 0.1 bit per "
       "weight more")
      ->check(CLI::IsMember({8, 12}));
  c->add_option("--mode", args.mode,
                "what to know of the inputs of a matrix: data-free (nothing; default), diagonal "
                "(their sizes) or zsic (their correlations; best, takes minutes)")
      ->check(CLI::IsMember({"data-free", "diagonal", "zsic"}));
  c->add_option("--calibrate", args.calibrate,
                "a text, or a directory of *.txt, to learn that from (default: mixed prose, drama, "
                "stories and code that ship with ecq); by itself it means --mode zsic");
  c->add_option("--calibration-tokens", args.calibration_tokens,
                "tokens of that text (default 131072)")
      ->check(CountValidator());
  c->add_option("--calibration-cache", args.calibration_cache,
                "a directory that keeps what was learnt, for another rate or --resume");
  c->add_option("--card", args.card, "also write a model card to this file, such as README.md");
  c->add_flag("--dry-run", args.dry_run, "report the exact size, write nothing");
  c->add_flag("--force", args.force, "replace an existing file; give up what OUT.part holds");
  c->add_flag("--resume", args.resume,
              "go on where a run that was stopped left off; its work is in OUT.part");
  c->add_flag("--json", args.json, "report as JSON");
  AddThreads(*c, args.threads, "-j,--jobs");
  c->footer(
      "Examples:\n"
      "  ecq quantize models/smollm2-135m.gguf -o smollm2.ecq --bpw 4\n"
      "  ecq quantize Qwen2.5-0.5B/ -o qwen.ecq --size 300MB\n"
      "  ecq quantize Qwen2.5-0.5B/ -o qwen.ecq --size 300MB --resume\n"
      "  ecq quantize model.gguf -o model.ecq --bpw 3.2 --mode zsic --calibration-cache moments\n"
      "  ecq quantize model.gguf -o model.ecq --preset small --card README.md\n"
      "  ecq quantize model.gguf -o model.ecq --tensor 'down_proj=bpw:5' --tensor "
      "'layers\\.0\\.=keep'\n"
      "  ecq quantize model.gguf --grid q4_0 --codec raw --dry-run");
  return c;
}

CLI::App* AddRun(CLI::App& app, ecq::RunArgs& args) {
  CLI::App* c = app.add_subcommand("run", "Continue a prompt");
  c->add_option("MODEL", args.model, kModelHelp)->required();
  c->add_option("-p,--prompt", args.prompt, "the text to continue")->required();
  c->add_option("-n", args.max_tokens, "tokens to generate (default 128)")
      ->check(CLI::Range(1, 1 << 20));
  c->add_option("--temp", args.temperature, "temperature; 0 takes the likeliest token (default)");
  c->add_option("--top-k", args.top_k, "sample among the k likeliest tokens; 0: all (default)")
      ->check(CountValidator());
  c->add_option("--top-p", args.top_p,
                "sample among the likeliest tokens of this total probability");
  c->add_option("--seed", args.seed, "seed of the sampler (default 0)")->check(CountValidator());
  c->add_option("--ctx", args.context, "context size (default: what prompt and -n need)")
      ->check(CLI::Range(1, 1 << 20));
  c->add_option("--activations", args.activations, "f32 or i8, rounded per 32 values (default)");
  c->add_option("--kv", args.kv,
                "numbers of the KV cache: f16 (default), f32 or q8, which some models do not bear");
  c->add_flag("-v,--verbose", args.verbose, "print speeds to standard error");
  AddThreads(*c, args.threads, "-t,--threads");
  c->footer(
      "Examples:\n"
      "  ecq run smollm2.ecq -p \"The capital of France is\" -n 32\n"
      "  ecq run smollm2.ecq -p \"Once upon a time\" --temp 0.8 --top-p 0.95 --seed 7");
  return c;
}

CLI::App* AddChat(CLI::App& app, ecq::ChatArgs& args) {
  CLI::App* c = app.add_subcommand("chat", "Talk with a model, by its own chat template");
  c->add_option("MODEL", args.model, kModelHelp)->required();
  c->add_option("-p,--prompt", args.prompt, "one question; without it, one on each line of input");
  c->add_option("--system", args.system, "the system message");
  c->add_option(
      "--template", args.chat_template,
      "chatml, a file, or the name of a template of the model (default: the model's own)");
  c->add_flag("--show-template", args.show_template,
              "print the prompt that -p and --system make, and exit");
  c->add_option("-n,--max-tokens", args.max_tokens,
                "most tokens of an answer (default: as many as the context holds)")
      ->check(CLI::Range(1, 1 << 20));
  c->add_option("--temp,--temperature", args.temperature,
                "temperature; 0 takes the likeliest token (default)");
  c->add_option("--top-k", args.top_k, "sample among the k likeliest tokens; 0: all (default)")
      ->check(CountValidator());
  c->add_option("--top-p", args.top_p,
                "sample among the likeliest tokens of this total probability");
  c->add_option("--seed", args.seed, "seed of the sampler (default 0)")->check(CountValidator());
  c->add_option("--ctx,--context", args.context,
                "tokens of a conversation (default: what the model takes, at most 8192)")
      ->check(CLI::Range(1, 1 << 20));
  c->add_option("--activations", args.activations, "f32 or i8, rounded per 32 values (default)");
  c->add_option("--kv", args.kv,
                "numbers of the KV cache: f16 (default), f32 or q8, which some models do not bear");
  c->add_flag("-v,--verbose", args.verbose, "print speeds to standard error");
  AddThreads(*c, args.threads, "-t,--threads");
  c->footer(
      "Examples:\n"
      "  ecq chat smollm2.ecq\n"
      "  ecq chat smollm2.ecq --system \"Answer in one sentence.\" -p \"What is entropy?\"\n"
      "  printf 'What is a prime?\\nName three.\\n' | ecq chat smollm2.ecq -n 100");
  return c;
}

CLI::App* AddEval(CLI::App& app, ecq::EvalArgs& args) {
  CLI::App* c = app.add_subcommand("eval", "Perplexity on a text, and KL to another model");
  c->add_option("MODEL", args.model, kModelHelp)->required();
  auto* text = c->add_option("--text", args.text, "the text file");
  c->add_option("--tokens", args.tokens,
                "instead: a file of u16 token ids, each document starting with the begin token")
      ->excludes(text);
  c->add_option("--documents", args.documents, "of --tokens: only the first so many")
      ->check(CountValidator());
  c->add_option("--ctx", args.context, "tokens per window (default 1024)")
      ->check(CLI::Range(2, 1 << 20));
  c->add_option("--max-tokens", args.max_tokens, "only so many tokens of the text")
      ->check(CountValidator());
  c->add_option("--protocol", args.protocol,
                "full: score every token (default); llama: as llama-perplexity, the second half of "
                "full windows");
  c->add_option("--base", args.base, "also KL and top-1 agreement to this model");
  c->add_option("--activations", args.activations, "f32 (default) or i8, rounded per 32 values");
  c->add_option("--kv", args.kv,
                "numbers of the KV cache: f32 (default), f16 or q8, which some models do not bear");
  c->add_flag("--json", args.json, "report as JSON");
  AddThreads(*c, args.threads, "-t,--threads");
  c->footer(
      "Examples:\n"
      "  ecq eval smollm2.ecq --text wikitext2-test.raw --base models/smollm2-135m.gguf\n"
      "  ecq eval models/smollm2-135m.gguf --text wikitext2-test.raw --ctx 512 --protocol llama");
  return c;
}

CLI::App* AddInspect(CLI::App& app, ecq::InspectArgs& args) {
  CLI::App* c = app.add_subcommand("inspect", "List what is in a model file");
  c->add_option("FILE", args.file, kModelHelp)->required();
  c->add_option("--tp", args.ranks,
                "say instead whether it shards evenly over so many ranks of tensor parallelism")
      ->check(CLI::Range(uint32_t{1}, ecq::kMaxRanks));
  c->add_flag("--json", args.json, "as JSON");
  c->footer(
      "With --tp the exit status is 0 if all ranks get equal shares, else 1.\n"
      "Examples:\n"
      "  ecq inspect smollm2.ecq\n"
      "  ecq inspect smollm2.ecq --tp 3");
  return c;
}

CLI::App* AddBench(CLI::App& app, ecq::BenchArgs& args) {
  CLI::App* c = app.add_subcommand("bench", "Measure tokens per second and memory use of it");
  c->add_option("MODEL", args.model, kModelHelp)->required();
  c->add_option("-p", args.prompt, "tokens of the prompt test (default 512); 0: none")
      ->check(CLI::Range(0, 1 << 16));
  c->add_option("-n", args.generate, "tokens of the generation test (default 128); 0: none")
      ->check(CLI::Range(0, 1 << 16));
  c->add_option("-d,--depth", args.depth,
                "tokens in the cache before the generated ones (default 0)")
      ->check(CLI::Range(0, 1 << 20));
  c->add_option("-r,--repetitions", args.repetitions, "measured runs after a warm-up (default 5)")
      ->check(CLI::Range(1, 1000));
  c->add_option("-t,--threads", args.threads,
                "numbers of threads, such as 1,2 (default: one for each physical core)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  c->add_option("--activations", args.activations, "f32 or i8, rounded per 32 values (default)");
  c->add_option("--kv", args.kv,
                "numbers of the KV cache: f16 (default), f32 or q8, which some models do not bear");
  c->add_option("-o,--output", args.output, "md (default), csv or json")
      ->check(CLI::IsMember({"md", "csv", "json"}));
  c->add_flag("--kernels", args.kernels,
              "instead: the product with the largest matrix of each type, by instruction set");
  c->footer(
      "GB/s counts the bytes of weights that a generated token reads; '% of memory' compares that "
      "with\n"
      "the read bandwidth measured in the same run with the same threads.\n"
      "Examples:\n"
      "  ecq bench smollm2.ecq -t 1,2\n"
      "  ecq bench smollm2.ecq -p 0 -n 32 -d 4096\n"
      "  ecq bench smollm2.ecq --kernels -t 1 -o csv");
  return c;
}

CLI::App* AddVerify(CLI::App& app, ecq::VerifyArgs& args) {
  CLI::App* c = app.add_subcommand("verify", "Check hashes and decode everything");
  c->add_option("FILE", args.file, "an .ecq file")->required();
  c->add_option("--against", args.against, "also compare with the model it was made from");
  AddThreads(*c, args.threads, "-t,--threads");
  c->footer("Example:\n  ecq verify smollm2.ecq --against models/smollm2-135m.gguf");
  return c;
}

CLI::App* AddAnalyze(CLI::App& app, ecq::AnalyzeArgs& args) {
  CLI::App* c = app.add_subcommand("analyze", "Measure how many bits the weights really hold");
  auto* source = c->add_option("SRC", args.source, kModelHelp);
  auto* synthetic = c->add_option("--synthetic", args.synthetic,
                                  "instead: independent gaussian, laplace or student5 weights")
                        ->check(CLI::IsMember({"gaussian", "laplace", "student5"}))
                        ->excludes(source);
  c->add_option("--weights", args.weights, "of --synthetic: how many (default 1M), in rows of 4096")
      ->transform(ecq::WeightCountValidator())
      ->needs(synthetic);
  c->add_option("--plot", args.plot,
                "write weights.svg, integers.svg and rate-distortion.svg to this directory");
  c->add_flag("--json", args.json, "report as JSON, with the rate-distortion curve of each type");
  AddThreads(*c, args.threads, "-j,--jobs");
  c->footer(
      "For each fixed-width grid: the entropy of its symbols, its signal-to-noise ratio, what\n"
      "lossless coding would save, and the bits per weight ECQ needs for the same squared error.\n"
      "Examples:\n"
      "  ecq analyze models/smollm2-135m.gguf --plot charts\n"
      "  ecq analyze --synthetic gaussian --weights 2M");
  return c;
}

CLI::App* AddCompletion(CLI::App& app, std::string& shell) {
  CLI::App* c = app.add_subcommand("completion", "Print a completion script for a shell");
  c->add_option("SHELL", shell, "the shell")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>{"bash", "zsh", "fish"}));
  c->footer("Example:\n  source <(ecq completion bash)");
  return c;
}

// For the build: no --help lists it.
CLI::App* AddMan(CLI::App& app) {
  return app.add_subcommand("man", "Print the manual page as troff")->group("");
}

CLI::App* AddUnpack(CLI::App& app, ecq::UnpackArgs& args) {
  CLI::App* c = app.add_subcommand("unpack", "Lay an .ecq file out as a model directory");
  c->add_option("FILE", args.file, "an .ecq file")->required();
  c->add_option("-o,--output", args.output, "the directory to write")->required();
  c->add_flag("--force", args.force, "write into a directory that is not empty");
  c->add_flag("--dequantize", args.dequantize, "write F32 weights, for transformers and others");
  c->footer(
      "DIR/model.safetensors is the same file under another name; config.json, the tokenizer and "
      "a model card\n(README.md) lie beside it, to be read or changed. 'ecq pack' makes one file "
      "again. With --dequantize, DIR is a\nHugging Face model of the values that the coded weights "
      "stand for.\n\n"
      "Examples:\n  ecq unpack smollm2.ecq -o smollm2\n"
      "  ecq unpack smollm2.ecq -o smollm2-f32 --dequantize");
  return c;
}

CLI::App* AddPack(CLI::App& app, ecq::PackArgs& args) {
  CLI::App* c = app.add_subcommand("pack", "Make one .ecq file of an unpacked directory");
  c->add_option("DIR", args.directory, "a directory that 'ecq unpack' made")->required();
  c->add_option("-o,--output", args.output, "the .ecq file to write")->required();
  c->add_flag("--force", args.force, "replace an existing file");
  c->footer(
      "Coded weights stay as they are; the side files become those of the directory: the ones that "
      "were\nin the file, and new ones that end in .json, .jinja or .model.\n\n"
      "Example:\n  ecq pack smollm2 -o smollm2.ecq");
  return c;
}

int Fail(std::string_view message) {
  fmt::print(stderr, "ecq: {}\n", ecq::Printable(message));
  return kExitFailed;
}

int FailUsage(std::string_view message, const std::string& command) {
  fmt::print(stderr, "ecq: {}; see 'ecq {}--help'\n", ecq::Printable(message),
             command.empty() ? "" : command + " ");
  return kExitUsage;
}

// The commands and where their arguments go.
struct CommandLine {
  CLI::App app{
      "ECQ: language models quantized for an entropy coder, kept coded in memory, and decoded "
      "inside "
      "the matrix product."};
  ecq::QuantizeArgs quantize;
  ecq::RunArgs run;
  ecq::ChatArgs chat;
  ecq::EvalArgs eval;
  ecq::BenchArgs bench;
  ecq::InspectArgs inspect;
  ecq::VerifyArgs verify;
  ecq::AnalyzeArgs analyze;
  ecq::UnpackArgs unpack;
  ecq::PackArgs pack;
  CLI::App* quantize_command = AddQuantize(app, quantize);
  CLI::App* run_command = AddRun(app, run);
  CLI::App* chat_command = AddChat(app, chat);
  CLI::App* eval_command = AddEval(app, eval);
  CLI::App* bench_command = AddBench(app, bench);
  CLI::App* inspect_command = AddInspect(app, inspect);
  CLI::App* verify_command = AddVerify(app, verify);
  CLI::App* analyze_command = AddAnalyze(app, analyze);
  std::string shell;
  CLI::App* completion_command = AddCompletion(app, shell);
  CLI::App* man_command = AddMan(app);
  CLI::App* unpack_command = AddUnpack(app, unpack);
  CLI::App* pack_command = AddPack(app, pack);

  CommandLine() {
    app.name("ecq");
    app.set_version_flag("--version", ecq::BuildInfo, "print version and build, and exit");
    app.require_subcommand(0, 1);
    app.footer(
        "Examples:\n"
        "  ecq quantize models/smollm2-135m.gguf -o smollm2.ecq --bpw 4\n"
        "  ecq run smollm2.ecq -p \"The capital of France is\" -n 32\n"
        "  ecq chat smollm2.ecq\n"
        "  ecq eval smollm2.ecq --text wikitext2-test.raw --base models/smollm2-135m.gguf\n"
        "'ecq COMMAND --help' shows the options of a command with examples.");
  }

  // The name of the command that was given, or "".
  std::string command() const {
    const auto given = app.get_subcommands();
    return given.empty() ? "" : given.front()->get_name();
  }

  // What is wrong with the first argument; empty if it is a command or an option.
  std::string UnknownCommand(const std::string& first) const {
    if (first.rfind('-', 0) == 0) return {};
    std::string known;
    for (const CLI::App* c : app.get_subcommands([](const CLI::App*) { return true; })) {
      if (c->get_name() == first) return {};
      if (!c->get_group().empty()) known += (known.empty() ? "" : ", ") + c->get_name();
    }
    return "'" + first + "' is no command; expected one of " + known;
  }

  // What the parser cannot express; empty if nothing is wrong.
  std::string Contradiction() const {
    if (*quantize_command) {
      if (quantize.output.empty() && !quantize.dry_run) return "-o is required, or --dry-run";
      if (quantize.resume && quantize.dry_run) return "--resume does not go with --dry-run";
      if (quantize.dry_run && !quantize.card.empty()) {
        return "--card describes a file, and --dry-run writes none";
      }
      if (!quantize.card.empty() && quantize.card == quantize.output) {
        return "--card and -o name the same file";
      }
      if (quantize.grid != "ecq" && (quantize.bpw || quantize.size_bytes ||
                                     quantize.embedding_bpw || !quantize.preset.empty())) {
        return "grid " + quantize.grid +
               " has a fixed width: --bpw, --size, --embedding-bpw and --preset go with --grid ecq";
      }
    }
    if (*quantize_command && quantize.mode == "data-free" && !quantize.calibrate.empty()) {
      return "--mode data-free takes no --calibrate";
    }
    if (*quantize_command && quantize.grid != "ecq" &&
        (quantize.mode == "zsic" || quantize.mode == "diagonal" || !quantize.calibrate.empty())) {
      return "grid " + quantize.grid + " takes no data: --mode and --calibrate go with --grid ecq";
    }
    if (*chat_command && chat.show_template && !chat.prompt) return "--show-template needs -p";
    if (*eval_command && eval.text.empty() && eval.tokens.empty()) {
      return "--text or --tokens is required";
    }
    if (*analyze_command && analyze.source.empty() && analyze.synthetic.empty()) {
      return "SRC or --synthetic is required";
    }
    return {};
  }

  std::string Completion() const {
    if (shell == "zsh") return ecq::ZshCompletion(app);
    return shell == "fish" ? ecq::FishCompletion(app) : ecq::BashCompletion(app);
  }

  Status Run() const {
    if (*completion_command || *man_command) {
      fmt::print("{}", *man_command ? ecq::ManPage(app, ECQ_VERSION) : Completion());
      return ecq::OkStatus();
    }
    ECQ_RETURN_IF_ERROR(ecq::ApplyTargetOverride());
    if (*quantize_command) return RunQuantize(quantize);
    if (*run_command) return RunGenerate(run);
    if (*chat_command) return RunChat(chat);
    if (*eval_command) return RunEval(eval);
    if (*bench_command) return RunBench(bench);
    if (*inspect_command) return RunInspect(inspect);
    if (*analyze_command) return RunAnalyze(analyze);
    if (*unpack_command) return RunUnpack(unpack);
    if (*pack_command) return RunPack(pack);
    return RunVerify(verify);
  }
};

}  // namespace

int main(int argc, char** argv) {
  CommandLine line;
  if (argc < 2) {
    fmt::print(stderr, "{}", line.app.help());
    return kExitUsage;
  }
  if (const std::string what = line.UnknownCommand(argv[1]); !what.empty()) {
    return FailUsage(what, "");
  }
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return line.app.exit(error);  // help or version
    return FailUsage(error.what(), line.command());
  }
  line.quantize.command_line = line.unpack.command_line =
      ecq::ShellCommand("ecq", {argv + 1, argv + argc});
  if (line.command().empty()) return FailUsage("a command is required", "");
  if (const std::string what = line.Contradiction(); !what.empty()) {
    return FailUsage(what, line.command());
  }

  try {
    if (const Status status = line.Run(); !status.ok()) return Fail(status.error().message);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return Fail(kOutputFailed);
    }
    return kExitOk;
  } catch (const std::bad_alloc&) {
    return Fail("out of memory; free some, or use a smaller model or context");
  } catch (const std::system_error& error) {  // of fmt::print and std::filesystem
    return Fail(std::ferror(stdout) != 0 ? kOutputFailed : error.what());
  }
}
