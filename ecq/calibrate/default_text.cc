// The text that travels with the program, as bytes of the program itself.
#include <cstddef>

#include "ecq/calibrate/calibration_text.h"

asm(".pushsection .rodata\n"
    ".global ecq_calibration_text_begin\n"
    ".hidden ecq_calibration_text_begin\n"
    "ecq_calibration_text_begin:\n"
    ".incbin \"" ECQ_CALIBRATION_TEXT
    "\"\n"
    ".global ecq_calibration_text_end\n"
    ".hidden ecq_calibration_text_end\n"
    "ecq_calibration_text_end:\n"
    ".byte 0\n"
    ".popsection\n");

extern "C" {
extern const char ecq_calibration_text_begin[] __attribute__((visibility("hidden")));
extern const char ecq_calibration_text_end[] __attribute__((visibility("hidden")));
}

namespace ecq {

std::string_view DefaultCalibrationText() {
  return {ecq_calibration_text_begin,
          static_cast<size_t>(ecq_calibration_text_end - ecq_calibration_text_begin)};
}

}  // namespace ecq
