// Chat templates against jinja2, and what hostile ones must not do.
#include "ecq/chat/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "ecq/chat/value_text.h"

namespace ecq::chat {
namespace {

using Json = nlohmann::ordered_json;

// 2024-07-26 09:05:03, a Friday: the clock of the vectors.
std::tm VectorTime() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 26;
  time.tm_hour = 9;
  time.tm_min = 5;
  time.tm_sec = 3;
  time.tm_wday = 5;
  time.tm_yday = 207;
  return time;
}

Result<std::string> Render(const std::string& source, const std::string& variables = "{}",
                           uint64_t max_steps = kMaxRenderSteps) {
  ECQ_TRY(const ChatTemplate parsed, ChatTemplate::Parse(source));
  ECQ_TRY(const Value values, ParseJson(variables));
  std::vector<std::pair<std::string, Value>> named;
  for (const auto& [key, value] : values.dict().entries) named.emplace_back(key.text(), value);
  return parsed.Render(std::move(named), VectorTime(), max_steps);
}

std::string ErrorOf(const std::string& source) {
  const auto text = Render(source);
  return text.ok() ? "no error: " + *text : text.error().message;
}

// {"templates": {name: source}, "conversations": {name: variables}, "cases": [{"template": name or
// "source": text, "conversation": name or "variables": object, "text": expected; none: an error}]}
void CheckVectors(const std::string& path, size_t min_cases) {
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  const Json vectors = Json::parse(file);
  const Json& cases = vectors.at("cases");
  EXPECT_GE(cases.size(), min_cases);
  for (const Json& c : cases) {
    const bool is_named = c.contains("template");
    const std::string name = c.value("template", std::string());
    const std::string source = is_named ? vectors.at("templates").at(name).get<std::string>()
                                        : c.at("source").get<std::string>();
    const Json variables =
        c.contains("conversation")
            ? vectors.at("conversations").at(c.at("conversation").get<std::string>())
            : c.value("variables", Json::object());
    const auto text = Render(source, variables.dump());
    SCOPED_TRACE((is_named ? name : source) + " with " + c.value("conversation", std::string()));
    if (!c.contains("text")) {
      EXPECT_FALSE(text.ok()) << *text;
    } else if (text.ok()) {
      EXPECT_EQ(*text, c.at("text").get<std::string>());
    } else {
      ADD_FAILURE() << text.error().message;
    }
  }
}

TEST(ChatTemplateVectors, Constructs) {
  CheckVectors(ECQ_SOURCE_DIR "/tests/vectors/chat/constructs.json", 200);
}

TEST(ChatTemplateVectors, Models) {
  CheckVectors(ECQ_SOURCE_DIR "/tests/vectors/chat/models.json", 50);
}

// Templates that cannot be stored here: tools/oracles/chat_template_vectors.py writes such a file.
TEST(ChatTemplateVectors, Local) {
  const char* path = std::getenv("ECQ_CHAT_VECTORS");
  if (path == nullptr) GTEST_SKIP() << "ECQ_CHAT_VECTORS names no file";
  CheckVectors(path, 1);
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  EXPECT_EQ(ErrorOf("a\n{{ 'x' }\n"), "chat template, line 2: unexpected '}'");
  EXPECT_EQ(ErrorOf("a\n\n{% if x %}"), "chat template, line 3: the block has no 'endif'");
  EXPECT_EQ(ErrorOf("{# x"), "chat template, line 1: the comment has no end '#}'");
  EXPECT_EQ(ErrorOf("\n{% include 'x' %}"),
            "chat template, line 2: block 'include' is not supported in chat templates");
  EXPECT_EQ(ErrorOf("\n{{ 'a' | nonesuch }}"),
            "chat template, line 2: there is no filter 'nonesuch'");
  EXPECT_EQ(ErrorOf("{% for a in [1] %}\n{{ raise_exception('no tools') }}{% endfor %}"),
            "chat template, line 2: no tools");
  EXPECT_EQ(ErrorOf("{{ a.b.c }}"),
            "chat template, line 1: undefined value 'a' has no attribute 'b'");
  EXPECT_EQ(ErrorOf("{% set l = [] %}{{ l.append(1) }}"),
            "chat template, line 1: 'append' would change a list, which templates must not");
  EXPECT_EQ(ErrorOf("{{ 9223372036854775807 + 1 }}"),
            "chat template, line 1: the result does not fit an integer of 64 bits");
  EXPECT_EQ(ErrorOf("{{ x(\n1 }}"), "chat template, line 2: unexpected '}'");
}

TEST(ChatTemplate, WorkIsBounded) {
  const std::string loops =
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
      "{% endfor %}";
  EXPECT_NE(ErrorOf(loops).find("too many steps"), std::string::npos);
  const std::string doubling =
      "{% set ns = namespace(s='0123456789abcdef') %}"
      "{% for a in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
  EXPECT_NE(ErrorOf(doubling).find("16 MiB"), std::string::npos);
  EXPECT_FALSE(Render("{{ 'x' * 1000000000000 }}").ok());
  EXPECT_FALSE(Render("{{ ('x' * 1000) | replace('', 'y' * 100000) }}").ok());
  EXPECT_FALSE(Render("{{ range(1000000000000) }}").ok());
  EXPECT_FALSE(Render("{{ 'a' | indent(100000000000) }}").ok());
  EXPECT_FALSE(Render("{{ 2 ** 1000000000000 }}").ok());
  // Shared parts: small in memory, exponential in text.
  const std::string shared =
      "{% set ns = namespace(l=[1]) %}{% for a in range(40) %}"
      "{% set ns.l = [ns.l, ns.l] %}{% endfor %}";
  EXPECT_TRUE(Render(shared).ok());
  EXPECT_FALSE(Render(shared + "{{ ns.l }}").ok());
  EXPECT_FALSE(Render(shared + "{{ ns.l | tojson }}").ok());
  EXPECT_FALSE(Render(shared + "{{ ns.l == [ns.l[0], ns.l[1]] }}").ok());
}

TEST(ChatTemplate, NestingIsBounded) {
  const auto repeated = [](const char* text, size_t n) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out += text;
    return out;
  };
  const size_t n = 50000;
  const std::pair<const char*, const char*> kBrackets[] = {
      {"(", ")"},  {"[", "]"},  {"-", ""},     {"not ", ""},        {"{1:", "}"},
      {"x[", "]"}, {"x(", ")"}, {"x|f(", ")"}, {"1 if 1 else ", ""}};
  for (const auto& [open, close] : kBrackets) {
    const std::string source = "{{ " + repeated(open, n) + "1" + repeated(close, n) + " }}";
    EXPECT_NE(ErrorOf(source).find("nested deeper"), std::string::npos) << open;
  }
  EXPECT_NE(ErrorOf(repeated("{% if x %}", n)).find("nested deeper"), std::string::npos);
  EXPECT_FALSE(Render("{{ 1" + repeated("+1", n) + " }}").ok());
  EXPECT_FALSE(Render("{{ x" + repeated(".x", n) + " }}", R"({"x": {"x": 1}})").ok());
  EXPECT_FALSE(Render("{{ x" + repeated("|string", n) + " }}").ok());
  EXPECT_NE(ErrorOf("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").find("nests too deeply"),
            std::string::npos);
  const std::string deep_value =
      "{% set ns = namespace(l=[]) %}{% for a in range(99999) %}"
      "{% set ns.l = [ns.l] %}{% endfor %}";
  EXPECT_NE(ErrorOf(deep_value).find("nests deeper"), std::string::npos);
  EXPECT_TRUE(Render("{% set ns = namespace() %}{% set ns.x = ns %}{% set ns.y = [ns] %}").ok());
}

TEST(ChatTemplate, MacrosOutliveTheirBlocks) {
  const auto text = Render(
      "{% set ns = namespace() %}{% for i in [1, 2] %}{% macro m() %}<{{ i }}>{% endmacro %}"
      "{% set ns.m = m %}{% endfor %}{{ ns.m() }}");
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(*text, "<2>");
}

TEST(ChatTemplate, EveryTruncationEndsInTextOrError) {
  const std::string source =
      "{%- macro m(a, b='x') -%}{{ a ~ b }}{%- endmacro %}{# c #}{% raw %}{{{% endraw %}"
      "{% for x, y in {'k': [1, 2.5]}.items() if x is not none %}{{ loop.index0 }}{{ y[::-1] }}"
      "{{ m(x, b=\"\\u00e9\") | upper }}{% else %}{% break %}{% endfor %}"
      "{% set t %}z{% endset %}{% filter trim %} {{ t }} {% endfilter %}";
  for (size_t size = 0; size <= source.size(); ++size) {
    const auto text = Render(source.substr(0, size));
    if (!text.ok()) {
      EXPECT_EQ(text.error().message.find("chat template, line 1: "), 0u);
    }
  }
}

TEST(ChatTemplate, BytesThatAreNoTextPass) {
  const auto text = Render("\xff{{ '\xc3' ~ '\xe2\x82' }}{{ '\xf0\x9f\x98\x80\xff' | length }}");
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(*text,
            "\xff\xc3\xe2\x82"
            "2");
}

}  // namespace
}  // namespace ecq::chat
