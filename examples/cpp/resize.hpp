// Bilinear scaling with the integers that Pillow 13 has, so that every pixel is the same as there.
#pragma once

#include <cstdint>
#include <vector>

// Pixels (height, width, channels) of 8 bits.
struct Raster {
  int height, width, channels;
  std::vector<std::uint8_t> pixels;

  Raster(int height, int width, int channels)
      : height(height), width(width), channels(channels),
        pixels(static_cast<std::size_t>(height) * width * channels) {}

  std::uint8_t* at(int y, int x) {
    return pixels.data() + (static_cast<std::size_t>(y) * width + x) * channels;
  }
  const std::uint8_t* at(int y, int x) const { return const_cast<Raster*>(this)->at(y, x); }
};

Raster resize(const Raster& source, int height, int width);

// A quarter turn counter-clockwise: what was at the top comes first.
Raster turn(const Raster& source);
