#include "app/analyze/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace ecq {
namespace {

constexpr double kWidth = 900;
constexpr double kHeight = 580;
constexpr double kLeft = 80;
constexpr double kRight = 640;  // of the plot; the legend is beyond
constexpr double kTop = 50;
constexpr double kBottom = 510;
constexpr double kLegendLeft = kRight + 24;
constexpr double kLegendLine = 22;
constexpr double kMarkerRadius = 5;

std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c >= ' ' && c < 0x7f ? c : '?';
    }
  }
  return out;
}

class SvgWriter {
 public:
  explicit SvgWriter(const Chart& chart) : chart_(chart) {}

  std::string Render() {
    Add("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"14\">\n",
        kWidth, kHeight);
    Add("<rect width=\"{}\" height=\"{}\" fill=\"#ffffff\"/>\n", kWidth, kHeight);
    Add("<clipPath id=\"plot\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>\n",
        kLeft, kTop, kRight - kLeft, kBottom - kTop);
    Text(kLeft, 30, "start", chart_.title, " font-size=\"17\" font-weight=\"bold\"");
    DrawAxes();
    Add("<g clip-path=\"url(#plot)\">\n");
    for (const ChartSeries& series : chart_.series) DrawSeries(series);
    Add("</g>\n");
    DrawLegend();
    Add("</svg>\n");
    return std::move(out_);
  }

 private:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  void Text(double x, double y, std::string_view anchor, std::string_view text,
            std::string_view attributes = "") {
    Add("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor,
        attributes, Escape(text));
  }

  // Position of a value as a share of its axis.
  static double ShareOf(const ChartAxis& axis, double value) {
    if (!axis.log) return (value - axis.min) / (axis.max - axis.min);
    if (!(value > 0)) return -1;
    return std::log10(value / axis.min) / std::log10(axis.max / axis.min);
  }
  // Far outside, clipping needs no exact place.
  static double ClampShare(double share) { return std::clamp(share, -1.0, 2.0); }
  double X(double value) const {
    return kLeft + ClampShare(ShareOf(chart_.x, value)) * (kRight - kLeft);
  }
  double Y(double value) const {
    return kBottom - ClampShare(ShareOf(chart_.y, value)) * (kBottom - kTop);
  }

  static std::vector<double> TicksOf(const ChartAxis& axis) {
    std::vector<double> ticks;
    if (axis.log) {
      const long first = std::lround(std::log10(axis.min));
      const long last = std::lround(std::log10(axis.max));
      for (long decade = first; decade <= last; ++decade) {
        ticks.push_back(std::pow(10.0, static_cast<double>(decade)));
      }
      return ticks;
    }
    const long count = std::lround((axis.max - axis.min) / axis.tick);
    for (long i = 0; i <= count; ++i) {
      ticks.push_back(axis.min + axis.tick * static_cast<double>(i));
    }
    return ticks;
  }

  static std::string TickLabel(const ChartAxis& axis, double tick) {
    if (axis.log) return fmt::format("1e{}", std::lround(std::log10(tick)));
    return fmt::format("{:.6g}", tick);
  }

  void DrawAxes() {
    for (const double tick : TicksOf(chart_.x)) {
      Add("<path d=\"M{0:.1f} {1}V{2}\" stroke=\"#dddddd\"/>\n", X(tick), kTop, kBottom);
      Text(X(tick), kBottom + 20, "middle", TickLabel(chart_.x, tick));
    }
    for (const double tick : TicksOf(chart_.y)) {
      Add("<path d=\"M{0} {2:.1f}H{1}\" stroke=\"#dddddd\"/>\n", kLeft, kRight, Y(tick));
      Text(kLeft - 8, Y(tick) + 5, "end", TickLabel(chart_.y, tick));
    }
    Add("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#444444\"/>\n",
        kLeft, kTop, kRight - kLeft, kBottom - kTop);
    Text((kLeft + kRight) / 2, kBottom + 50, "middle", chart_.x.title);
    const double middle = (kTop + kBottom) / 2;
    Text(22, middle, "middle", chart_.y.title,
         fmt::format(" transform=\"rotate(-90 22 {})\"", middle));
  }

  void DrawSeries(const ChartSeries& series) {
    if (series.mark == ChartMark::kLine || series.mark == ChartMark::kDashes) {
      Add("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{} points=\"", series.colour,
          series.mark == ChartMark::kDashes ? " stroke-dasharray=\"7 5\"" : "");
      for (const auto& [x, y] : series.points) Add("{:.1f},{:.1f} ", X(x), Y(y));
      Add("\"/>\n");
      return;
    }
    for (const auto& [x, y] : series.points) {
      if (series.mark == ChartMark::kBars) {
        DrawBar(series.colour, x, y);
      } else {
        DrawMarker(series, X(x), Y(y));
      }
    }
  }

  void DrawBar(std::string_view colour, double x, double y) {
    const double left = X(x - chart_.bar_width / 2);
    const double top = std::max(kTop, Y(y));
    if (top >= kBottom) return;
    Add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n", left,
        top, X(x + chart_.bar_width / 2) - left, kBottom - top, colour);
  }

  void DrawMarker(const ChartSeries& series, double x, double y) {
    constexpr double r = kMarkerRadius;
    Add("<path d=\"");
    switch (series.mark) {
      case ChartMark::kSquare:
        Add("M{:.1f} {:.1f}h{}v{}h{}z", x - r, y - r, 2 * r, 2 * r, -2 * r);
        break;
      case ChartMark::kDiamond:
        Add("M{:.1f} {:.1f}l{} {}l{} {}l{} {}z", x, y - 1.4 * r, 1.4 * r, 1.4 * r, -1.4 * r,
            1.4 * r, -1.4 * r, -1.4 * r);
        break;
      case ChartMark::kUp:
        Add("M{:.1f} {:.1f}l{} {}h{}z", x, y - 1.2 * r, 1.2 * r, 2.2 * r, -2.4 * r);
        break;
      case ChartMark::kDown:
        Add("M{:.1f} {:.1f}l{} {}h{}z", x, y + 1.2 * r, 1.2 * r, -2.2 * r, -2.4 * r);
        break;
      default:  // a circle
        Add("M{:.1f} {:.1f}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z", x - r, y, fmt::arg("r", r),
            fmt::arg("d", 2 * r));
    }
    Add("\" fill=\"{}\" stroke=\"{}\" stroke-width=\"1.8\"/>\n",
        series.hollow ? std::string_view("#ffffff") : series.colour, series.colour);
  }

  void DrawLegend() {
    double y = kTop + 10;
    for (const ChartSeries& series : chart_.series) {
      if (series.name.empty()) continue;
      if (series.mark == ChartMark::kLine || series.mark == ChartMark::kDashes) {
        Add("<path d=\"M{} {}h26\" stroke=\"{}\" stroke-width=\"2\"{}/>\n", kLegendLeft, y,
            series.colour, series.mark == ChartMark::kDashes ? " stroke-dasharray=\"7 5\"" : "");
      } else if (series.mark == ChartMark::kBars) {
        Add("<rect x=\"{}\" y=\"{}\" width=\"26\" height=\"12\" fill=\"{}\"/>\n", kLegendLeft,
            y - 6, series.colour);
      } else {
        DrawMarker(series, kLegendLeft + 13, y);
      }
      Text(kLegendLeft + 36, y + 5, "start", series.name);
      y += kLegendLine;
    }
    for (const std::string& note : chart_.notes) {
      y += kLegendLine;
      Text(kLegendLeft, y, "start", note, " fill=\"#444444\" font-size=\"13\"");
      y -= 4;
    }
  }

  const Chart& chart_;
  std::string out_;
};

}  // namespace

std::string RenderSvg(const Chart& chart) { return SvgWriter(chart).Render(); }

}  // namespace ecq
