// Tests of what progress says, and of the numbers in it.
#include "app/progress.h"

#include <gtest/gtest.h>

#include "app/units.h"

namespace ecq {
namespace {

TEST(Progress, SaysShareTimeAndRate) {
  EXPECT_EQ(ProgressText("Quantizing", 52'000'000, 130'000'000, "weights", 10),
            "Quantizing 40 %, 0:10 elapsed, 0:15 left, 5.2 M weights/s");
  EXPECT_EQ(ProgressText("Evaluating", 3, 6, "windows", 7200),
            "Evaluating 50 %, 2:00:00 elapsed, 2:00:00 left, 0.0 windows/s");
}

TEST(Progress, GuessesNothingAtTheBeginningAndTheEnd) {
  EXPECT_EQ(ProgressText("Quantizing", 0, 100, "weights", 3), "Quantizing 0 %, 0:03 elapsed");
  EXPECT_EQ(ProgressText("Quantizing", 10, 100, "weights", 0), "Quantizing 10 %, 0:00 elapsed");
  EXPECT_EQ(ProgressText("Quantizing", 4000, 4000, "weights", 2),
            "Quantizing 100 %, 0:02 elapsed, 2.0 K weights/s");
}

TEST(Units, CountsAreShort) {
  EXPECT_EQ(FormatCount(0), "0.0");
  EXPECT_EQ(FormatCount(999), "999.0");
  EXPECT_EQ(FormatCount(1234), "1.2 K");
  EXPECT_EQ(FormatCount(12'345'678), "12.3 M");
  EXPECT_EQ(FormatCount(2.2e9), "2.2 G");
}

TEST(Units, CommandsAreQuotedForTheShell) {
  EXPECT_EQ(ShellCommand("ecq", {"quantize", "a/b-c_1.gguf", "--bpw", "4.5"}),
            "ecq quantize a/b-c_1.gguf --bpw 4.5");
  EXPECT_EQ(ShellCommand("ecq", {"", "two words", "it's", "a\\.b=keep", "$HOME"}),
            R"(ecq '' 'two words' 'it'\''s' 'a\.b=keep' '$HOME')");
}

}  // namespace
}  // namespace ecq
