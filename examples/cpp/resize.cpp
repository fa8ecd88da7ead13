#include "resize.hpp"

#include <algorithm>

namespace {

constexpr int kBits = 22;  // of a weight behind the point

// What one pixel of the output takes: `weights` of the pixels from `first` on.
struct Taps {
  int first;
  std::vector<std::int32_t> weights;
};

// A triangle as wide as two pixels, of the output where that is the coarser, of the input else.
std::vector<Taps> bilinear_weights(int size, int output) {
  const double scale = static_cast<double>(size) / output;
  const double reach = std::max(scale, 1.0);
  const double slope = 1.0 / reach;
  std::vector<Taps> found;
  for (int place = 0; place < output; ++place) {
    const double center = (place + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - reach + 0.5), 0);
    const int end = std::min(static_cast<int>(center + reach + 0.5), size);
    std::vector<double> weights;
    double sum = 0;
    for (int i = 0; i < end - first; ++i) {
      const double distance = (i + first - center + 0.5) * slope;
      weights.push_back(std::max(0.0, 1.0 - (distance < 0 ? -distance : distance)));
      sum += weights.back();
    }
    Taps taps{first, {}};
    for (double weight : weights)
      taps.weights.push_back(static_cast<std::int32_t>(0.5 + weight / sum * (1 << kBits)));
    found.push_back(taps);
  }
  return found;
}

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kBits, 0, 255));
}

Raster scale_width(const Raster& source, int width) {
  Raster result(source.height, width, source.channels);
  const auto taps = bilinear_weights(source.width, width);
  for (int y = 0; y < source.height; ++y)
    for (int x = 0; x < width; ++x)
      for (int channel = 0; channel < source.channels; ++channel) {
        std::int32_t sum = 1 << (kBits - 1);
        for (std::size_t i = 0; i < taps[x].weights.size(); ++i)
          sum += taps[x].weights[i] * source.at(y, taps[x].first + static_cast<int>(i))[channel];
        result.at(y, x)[channel] = rounded(sum);
      }
  return result;
}

Raster scale_height(const Raster& source, int height) {
  Raster result(height, source.width, source.channels);
  const auto taps = bilinear_weights(source.height, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < source.width; ++x)
      for (int channel = 0; channel < source.channels; ++channel) {
        std::int32_t sum = 1 << (kBits - 1);
        for (std::size_t i = 0; i < taps[y].weights.size(); ++i)
          sum += taps[y].weights[i] * source.at(taps[y].first + static_cast<int>(i), x)[channel];
        result.at(y, x)[channel] = rounded(sum);
      }
  return result;
}

}  // namespace

Raster resize(const Raster& source, int height, int width) {
  // Each pass rounds, so that their order shows: Pillow 13 takes the height first where that loses
  // more than twice as many pixels as the width does.
  const int lost = source.height - height;
  const bool height_first = lost > 0 && lost > 2 * (source.width - width);
  Raster result = source;
  if (height_first) result = scale_height(result, height);
  if (source.width != width) result = scale_width(result, width);
  if (result.height != height) result = scale_height(result, height);
  return result;
}

Raster rotate90(const Raster& source) {
  Raster result(source.width, source.height, source.channels);
  for (int y = 0; y < result.height; ++y)
    for (int x = 0; x < result.width; ++x)
      std::copy_n(source.at(x, source.width - 1 - y), source.channels, result.at(y, x));
  return result;
}
