// Bilinear scaling with the integers that Pillow 13 has, so that every pixel is the same as there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// Pixels (height, width, channels) of 8 bits.
struct Raster {
  int height, width, channels;
  std::vector<std::uint8_t> pixels;

  Raster(int height, int width, int channels)
      : height(height),
        width(width),
        channels(channels),
        pixels(static_cast<std::size_t>(height) * width * channels) {}

  std::uint8_t* at(int y, int x) {
    return pixels.data() + (static_cast<std::size_t>(y) * width + x) * channels;
  }
  const std::uint8_t* at(int y, int x) const { return const_cast<Raster*>(this)->at(y, x); }
};

// All sizes are at least 1.
Raster resize(const Raster& source, int height, int width);

// 90 degrees counter-clockwise: what was at the top comes first.
Raster rotate90(const Raster& source);
