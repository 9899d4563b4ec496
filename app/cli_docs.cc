// Walks the tree of commands and options and writes it as troff, bash, zsh and fish.
#include "app/cli_docs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace ecq {
namespace {

struct OptionDoc {
  std::vector<std::string> flags;    // "-o", "--output"; of a positional argument its name
  std::string value;                 // "SIZE"; empty for a flag
  std::vector<std::string> choices;  // all possible values, if they are few
  std::string range;                 // "[1 - 1024]"
  std::string description;
  bool positional = false;
  bool required = false;

  bool takes_file() const { return value == "TEXT" && choices.empty(); }
};

struct CommandDoc {
  std::string name;
  std::string description;
  std::vector<std::string> examples;
  std::vector<OptionDoc> options;
};

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string Join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string Replace(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// Takes apart CLI11's type names: "TEXT", "UINT:SIZE", "UINT:UINT in [1 - 8]", "TEXT:{a,b}".
void ReadType(const std::string& type, OptionDoc* doc) {
  const size_t colon = type.find(':');
  doc->value = type.substr(0, colon);
  if (colon == std::string::npos) return;
  const std::string detail = type.substr(colon + 1);
  const size_t bracket = detail.find('[');
  if (detail.size() > 2 && detail.front() == '{' && detail.back() == '}') {
    doc->choices = Split(std::string_view(detail).substr(1, detail.size() - 2), ',');
  } else if (bracket != std::string::npos) {
    doc->range = detail.substr(bracket);
  } else if (!detail.empty() && std::all_of(detail.begin(), detail.end(),
                                            [](unsigned char c) { return std::isupper(c) != 0; })) {
    doc->value = detail;
  }
}

OptionDoc Describe(const CLI::Option& option) {
  OptionDoc doc;
  doc.description = option.get_description();
  doc.positional = option.get_positional();
  doc.required = option.get_required();
  if (option.get_items_expected_max() > 0) ReadType(option.get_type_name(), &doc);
  if (doc.positional) {
    doc.flags.push_back(option.get_name(/*positional=*/true));
  } else {
    for (const std::string& name : option.get_snames()) doc.flags.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) doc.flags.push_back("--" + name);
  }
  return doc;
}

// Examples are the indented lines of a footer.
CommandDoc Describe(const CLI::App& app) {
  CommandDoc doc;
  doc.name = app.get_name();
  doc.description = app.get_description();
  for (const std::string& line : Split(app.get_footer(), '\n')) {
    if (line.starts_with("  ")) doc.examples.push_back(line.substr(2));
  }
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) doc.options.push_back(Describe(*option));
  }
  return doc;
}

// The commands that --help lists.
std::vector<CommandDoc> Commands(const CLI::App& app) {
  std::vector<CommandDoc> commands;
  for (const CLI::App* c : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!c->get_group().empty()) commands.push_back(Describe(*c));
  }
  return commands;
}

std::string Names(const std::vector<CommandDoc>& commands, std::string_view separator) {
  std::vector<std::string> names;
  for (const CommandDoc& command : commands) names.push_back(command.name);
  return Join(names, separator);
}

// ---- man ----

std::string Troff(std::string text) {
  text = Replace(Replace(std::move(text), "\\", "\\e"), "-", "\\-");
  text = Replace(std::move(text), "\n.", "\n\\&.");
  text = Replace(std::move(text), "\n'", "\n\\&'");
  return text.starts_with('.') || text.starts_with('\'') ? "\\&" + text : text;
}

std::string Synopsis(const CommandDoc& command) {
  std::string text = "\\fBecq " + Troff(command.name) + "\\fR";
  for (const OptionDoc& option : command.options) {
    if (!option.positional) continue;
    text += " \\fI" + Troff(option.flags.front()) + "\\fR";
  }
  return text + " [\\fIoptions\\fR]";
}

std::string ManOption(const OptionDoc& option) {
  const char* const font = option.positional ? "\\fI" : "\\fB";
  std::string text = ".TP\n";
  for (size_t i = 0; i < option.flags.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::string(font) + Troff(option.flags[i]) + "\\fR";
  }
  if (!option.positional && !option.value.empty()) text += " \\fI" + Troff(option.value) + "\\fR";
  text += "\n" + Troff(option.description);
  if (!option.choices.empty()) text += ": " + Troff(Join(option.choices, ", "));
  if (!option.range.empty()) text += " " + Troff(option.range);
  return text + "\n";
}

std::string ManExamples(const std::vector<std::string>& examples) {
  std::string text = ".PP\n.nf\n.RS 4\n";
  for (const std::string& example : examples) text += Troff(example) + "\n";
  return text + ".RE\n.fi\n";
}

// ---- shells ----

std::vector<std::string> FlagsOf(const CommandDoc& command) {
  std::vector<std::string> flags;
  for (const OptionDoc& option : command.options) {
    if (!option.positional) flags.insert(flags.end(), option.flags.begin(), option.flags.end());
  }
  return flags;
}

std::string InQuotes(std::string text) {
  return "'" + Replace(std::move(text), "'", "'\\''") + "'";
}

// The cases of `case $command:$previous in` where a value follows that is not a file: one for each
// set of choices, the empty one included.
std::string BashValues(const std::vector<CommandDoc>& commands) {
  std::map<std::string, std::vector<std::string>> patterns;  // by choices
  for (const CommandDoc& command : commands) {
    for (const OptionDoc& option : command.options) {
      if (option.positional || option.value.empty() || option.takes_file()) continue;
      auto& list = patterns[Join(option.choices, " ")];
      for (const std::string& flag : option.flags) list.push_back(command.name + ":" + flag);
    }
  }
  std::string cases;
  for (const auto& [choices, list] : patterns) {
    cases += fmt::format("    {})\n      _ecq_words {}\n      return\n      ;;\n",
                         Join(list, " | \\\n      "), InQuotes(choices));
  }
  return cases;
}

// Possible values of the positional arguments of a command; empty if they are files.
std::string PositionalChoices(const CommandDoc& command) {
  std::vector<std::string> choices;
  for (const OptionDoc& option : command.options) {
    if (option.positional)
      choices.insert(choices.end(), option.choices.begin(), option.choices.end());
  }
  return Join(choices, " ");
}

std::string ZshEscape(std::string text) {
  for (const std::string_view special : {"\\", "[", "]", ":"}) {
    text = Replace(std::move(text), special, "\\" + std::string(special));
  }
  return text;
}

// One argument of zsh's _arguments.
std::string ZshSpec(const OptionDoc& option) {
  std::string action = option.takes_file() ? "_files" : " ";
  if (!option.choices.empty()) action = "(" + Join(option.choices, " ") + ")";
  if (option.positional) return InQuotes(":" + ZshEscape(option.flags.front()) + ":" + action);
  const std::string all = Join(option.flags, " ");
  std::string tail = "[" + ZshEscape(option.description) + "]";
  if (!option.value.empty()) tail += ":" + ZshEscape(option.value) + ":" + action;
  std::vector<std::string> specs;
  for (const std::string& flag : option.flags) {
    specs.push_back(InQuotes("(" + all + ")" + flag + tail));
  }
  return Join(specs, " \\\n        ");
}

std::string FishOption(const std::string& condition, const OptionDoc& option) {
  std::string line = "complete -c ecq -n " + InQuotes(condition);
  if (option.positional) {
    if (option.choices.empty()) return {};
    return line + " -f -a " + InQuotes(Join(option.choices, " ")) + "\n";
  }
  for (const std::string& flag : option.flags) {
    line += flag.starts_with("--") ? " -l " + flag.substr(2) : " -s " + flag.substr(1);
  }
  if (option.takes_file()) line += " -r";
  if (!option.value.empty() && !option.takes_file()) line += " -x";
  if (!option.choices.empty()) line += " -a " + InQuotes(Join(option.choices, " "));
  return line + " -d " + InQuotes(Replace(option.description, "\\", "\\\\")) + "\n";
}

}  // namespace

std::string ManPage(const CLI::App& app, const std::string& version) {
  const CommandDoc root = Describe(app);
  const std::vector<CommandDoc> commands = Commands(app);
  std::string text = fmt::format(
      ".TH ECQ 1 \"\" \"ecq {}\" \"User Commands\"\n"
      ".SH NAME\necq \\- quantize language models for an entropy coder and run them coded\n"
      ".SH SYNOPSIS\n",
      Troff(version));
  for (const CommandDoc& command : commands) text += Synopsis(command) + "\n.br\n";
  text += "\\fBecq\\fR \\fB\\-\\-help\\fR | \\fB\\-\\-version\\fR\n";
  text += ".SH DESCRIPTION\n" + Troff(root.description) + "\n.SH OPTIONS\n";
  for (const OptionDoc& option : root.options) text += ManOption(option);
  text += ".SH COMMANDS\n";
  for (const CommandDoc& command : commands) {
    text += ".SS " + Synopsis(command) + "\n" + Troff(command.description) + ".\n";
    for (const OptionDoc& option : command.options) text += ManOption(option);
    if (!command.examples.empty()) text += ManExamples(command.examples);
  }
  text +=
      ".SH EXIT STATUS\n.TP\n0\nSuccess.\n.TP\n1\nThe input was refused or a check failed; "
      "standard "
      "error has one line that says why.\n.TP\n2\nThe command line is wrong.\n"
      ".SH ENVIRONMENT\n.TP\n\\fBECQ_TARGET\\fR\nInstruction set to use instead of the best that "
      "the machine has: scalar, avx2, avx512 or neon.\n";
  text += ".SH EXAMPLES\n" + ManExamples(root.examples);
  return text;
}

std::string BashCompletion(const CLI::App& app) {
  const std::vector<CommandDoc> commands = Commands(app);
  std::string flags;
  std::string arguments;
  for (const CommandDoc& command : commands) {
    flags += fmt::format("      {}) _ecq_words {} ;;\n", command.name,
                         InQuotes(Join(FlagsOf(command), " ")));
    if (const std::string choices = PositionalChoices(command); !choices.empty()) {
      arguments += fmt::format("    {}) _ecq_words {} ;;\n", command.name, InQuotes(choices));
    }
  }
  const std::string root_flags = Join(FlagsOf(Describe(app)), " ");
  return fmt::format(
      R"(# bash completion of ecq, made by 'ecq completion bash'
_ecq_words() {{
  compopt +o default 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -W "$1" -- "${{COMP_WORDS[COMP_CWORD]}}")
}}

_ecq() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${{COMP_WORDS[i]}} in
      {names})
        command=${{COMP_WORDS[i]}}
        break
        ;;
    esac
  done
  case $command:$previous in
{values}  esac
  if [[ $current == -* ]]; then
    case $command in
{flags}      *) _ecq_words {root_flags} ;;
    esac
    return
  fi
  case $command in
    '') _ecq_words {words} ;;
{arguments}  esac
}}

complete -o default -F _ecq ecq
)",
      fmt::arg("names", Names(commands, "|")), fmt::arg("values", BashValues(commands)),
      fmt::arg("flags", flags), fmt::arg("root_flags", InQuotes(root_flags)),
      fmt::arg("words", InQuotes(Names(commands, " "))), fmt::arg("arguments", arguments));
}

std::string ZshCompletion(const CLI::App& app) {
  std::string described;
  std::string cases;
  for (const CommandDoc& command : Commands(app)) {
    described +=
        "    " + InQuotes(command.name + ":" + Replace(command.description, ":", "\\:")) + "\n";
    cases += fmt::format("    {})\n      _arguments", command.name);
    for (const OptionDoc& option : command.options) cases += " \\\n        " + ZshSpec(option);
    cases += "\n      ;;\n";
  }
  std::string root;
  for (const OptionDoc& option : Describe(app).options) root += " \\\n      " + ZshSpec(option);
  return fmt::format(
      R"(#compdef ecq
# zsh completion of ecq, made by 'ecq completion zsh'
_ecq() {{
  local -a commands=(
{}  )
  if ((CURRENT == 2)); then
    _describe command commands
    _arguments{}
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
{}  esac
}}

_ecq "$@"
)",
      described, root, cases);
}

std::string FishCompletion(const CLI::App& app) {
  const std::vector<CommandDoc> commands = Commands(app);
  const std::string outside = "not __fish_seen_subcommand_from " + Names(commands, " ");
  std::string text = "# fish completion of ecq, made by 'ecq completion fish'\n";
  for (const OptionDoc& option : Describe(app).options) text += FishOption(outside, option);
  for (const CommandDoc& command : commands) {
    text += fmt::format("complete -c ecq -n {} -f -a {} -d {}\n", InQuotes(outside), command.name,
                        InQuotes(command.description));
    const std::string inside = "__fish_seen_subcommand_from " + command.name;
    for (const OptionDoc& option : command.options) text += FishOption(inside, option);
  }
  return text;
}

}  // namespace ecq
