// A chart as SVG text: lines, bars and markers over two axes, a legend beside them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ecq {

struct ChartAxis {
  std::string title;  // with its unit
  double min = 0;
  double max = 1;
  double tick = 1;   // distance of ticks; a logarithmic axis has one per decade
  bool log = false;  // min and max are positive powers of ten then
};

enum class ChartMark : uint8_t { kLine, kDashes, kBars, kCircle, kSquare, kDiamond, kUp, kDown };

struct ChartSeries {
  std::string name;  // empty: not in the legend
  std::string_view colour;
  ChartMark mark = ChartMark::kLine;
  bool hollow = false;  // markers only
  std::vector<std::pair<double, double>> points;
};

struct Chart {
  std::string title;
  ChartAxis x;
  ChartAxis y;
  double bar_width = 1;  // in units of x
  std::vector<ChartSeries> series;
  std::vector<std::string> notes;  // lines below the legend
};

// Colours that people with colour blindness can tell apart (Okabe and Ito, 2008).
inline constexpr std::string_view kChartColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                     "#56b4e9", "#e69f00", "#000000"};

// What lies outside the axes is cut off. Any text is safe: markup is escaped, control characters
// and bytes that are no ASCII become '?'.
std::string RenderSvg(const Chart& chart);

}  // namespace ecq
