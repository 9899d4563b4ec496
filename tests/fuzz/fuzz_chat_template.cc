// Fuzz entry: any bytes as a chat template. It must end in a text or an error of one line, within
// its bounds.
#include <ctime>
#include <string_view>

#include "ecq/chat/chat_template.h"
#include "ecq/chat/value_text.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = ecq::chat::ChatTemplate::Parse(source);
  if (!parsed.ok()) {
    ecq::Require(parsed.error().message.find("chat template") == 0);
    return 0;
  }
  static const auto messages = ecq::chat::ParseJson(
      R"([{"role": "user", "content": "a b"}, {"role": "assistant", "content": [1, null, 2.5]}])");
  std::tm time{};
  time.tm_mday = 1;
  constexpr uint64_t kSteps = 1 << 16;
  const auto text =
      parsed->Render({{"messages", *messages}, {"x", ecq::chat::Value::Text("é\n")}}, time, kSteps);
  // Every byte costs a sixteenth of a step or more.
  if (text.ok()) ecq::Require(text->size() <= 16 * kSteps);
  if (!text.ok()) ecq::Require(text.error().message.find("chat template, line ") == 0);
  return 0;
}
