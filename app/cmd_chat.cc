// ecq chat: a conversation by the model's own chat template.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <optional>
#include <string>

#include "app/chat_prompt.h"
#include "app/chat_session.h"
#include "app/commands.h"
#include "app/model_options.h"
#include "app/opened_model.h"
#include "app/speeds.h"
#include "app/units.h"

namespace ecq {
namespace {

// Positions of a conversation, if the model takes so many. Memory is used as it grows.
constexpr size_t kDefaultContext = 8192;

constexpr char kHelp[] =
    "/reset          start anew, with the same system message\n"
    "/system TEXT    start anew with this system message; without TEXT: none\n"
    "/exit           leave, as Ctrl-D does\n"
    "/help           this list\n"
    "Ctrl-C          stop the answer\n";

volatile std::sig_atomic_t interrupted = 0;

// While this lives, Ctrl-C sets `interrupted` instead of ending the program.
class InterruptGuard {
 public:
  explicit InterruptGuard(bool enabled) : enabled_(enabled) {
    if (!enabled_) return;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptGuard() {
    if (enabled_) sigaction(SIGINT, &before_, nullptr);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  bool enabled_;
  struct sigaction before_ {};
};

std::tm LocalTime() {
  const std::time_t now = std::time(nullptr);
  std::tm time{};
  localtime_r(&now, &time);
  return time;
}

// The dialogue on standard input and output.
class Dialogue {
 public:
  Dialogue(ChatSession& session, const Model& model, size_t threads, bool verbose)
      : session_(session),
        model_(model),
        threads_(threads),
        verbose_(verbose),
        is_terminal_(isatty(STDIN_FILENO) != 0) {}

  Status Run() {
    const InterruptGuard guard(is_terminal_);
    if (is_terminal_) fmt::print(stderr, "/help lists the commands; Ctrl-D ends.\n");
    std::string line;
    while (ReadLine(line)) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      if (line == "/exit") break;
      if (line[0] == '/' && RunCommand(line)) continue;
      if (const Status status = Answer(line); !status.ok()) {
        if (!is_terminal_ || std::ferror(stdout) != 0) return status;
        fmt::print(stderr, "ecq: {}\n", Printable(status.error().message));
      }
    }
    if (is_terminal_) fmt::print("\n");
    return OkStatus();
  }

  // Streams the answer to one message.
  Status Answer(const std::string& message) {
    interrupted = 0;
    const auto print = [](const std::string& text) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
      return std::ferror(stdout) == 0 && interrupted == 0;
    };
    ECQ_TRY(const GenerateStats stats, session_.Ask(message, print));
    fmt::print("\n");
    std::fflush(stdout);
    if (stats.stop_reason == StopReason::kContextFull) {
      fmt::print(stderr,
                 "ecq: the answer is cut off: the context is full; start anew with /reset, "
                 "or raise --context\n");
    }
    if (verbose_) fmt::print(stderr, "{}\n", SpeedLine(stats, model_, threads_));
    return OkStatus();
  }

 private:
  bool ReadLine(std::string& line) {
    if (is_terminal_) {
      fmt::print("> ");
      std::fflush(stdout);
    }
    return static_cast<bool>(std::getline(std::cin, line));
  }

  // Whether the line was a command, right or wrong.
  bool RunCommand(const std::string& line) {
    const size_t end = std::min(line.find(' '), line.size());
    const std::string command = line.substr(0, end);
    const std::string argument = line.substr(std::min(line.size(), end + 1));
    if (command == "/reset") {
      session_.Reset(session_.system());
    } else if (command == "/system") {
      session_.Reset(argument);
    } else if (command == "/help") {
      fmt::print(stderr, "{}", kHelp);
    } else if (is_terminal_ && command.find('/', 1) == std::string::npos) {
      fmt::print(stderr, "ecq: '{}' is no command; /help lists them\n", Printable(command));
    } else {
      return false;
    }
    return true;
  }

  ChatSession& session_;
  const Model& model_;
  size_t threads_;
  bool verbose_;
  bool is_terminal_;
};

}  // namespace

Status RunChat(const ChatArgs& args) {
  ECQ_TRY(const ActivationMode activations, ParseActivationMode(args.activations));
  ECQ_TRY(const KvFormat kv, ParseKvFormat(args.kv));
  ECQ_TRY(Sampler sampler, Sampler::Create({args.temperature, args.top_k, args.top_p, args.seed}));
  ECQ_TRY(const OpenedModel opened, OpenedModel::Open(args.model));
  ECQ_RETURN_IF_ERROR(opened.LoadConfig());  // says what an encoder cannot, before its tokenizer
  ECQ_TRY(const auto tokenizer, opened.LoadTokenizer());
  auto prompt =
      ChatPrompt::Create(opened.source().side_files(), args.chat_template, *tokenizer, LocalTime());
  if (!prompt.ok()) return Error{prompt.error().code, args.model + ": " + prompt.error().message};
  if (args.show_template) {
    std::vector<ChatMessage> messages;
    if (!args.system.empty()) messages.push_back({"system", args.system});
    messages.push_back({"user", *args.prompt});
    ECQ_TRY(const std::string text, prompt->Text(messages));
    std::fwrite(text.data(), 1, text.size(), stdout);
    return OkStatus();
  }
  ECQ_TRY(const Model model, opened.LoadModel());
  ThreadPool pool(args.threads > 0 ? args.threads : DefaultThreadCount());
  const size_t context = args.context > 0
                             ? args.context
                             : std::min<size_t>(kDefaultContext, model.config().max_positions);
  ECQ_TRY(Session session, model.NewSession(pool, {context, activations, kv}));
  ChatSession chat(model, *tokenizer, *prompt, std::move(session), std::move(sampler),
                   args.max_tokens);
  chat.Reset(args.system);
  Dialogue dialogue(chat, model, pool.num_threads(), args.verbose);
  return args.prompt ? dialogue.Answer(*args.prompt) : dialogue.Run();
}

}  // namespace ecq
