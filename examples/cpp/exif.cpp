#include "exif.hpp"

#include <algorithm>
#include <utility>

namespace {

constexpr unsigned kOrientation = 0x0112, kShort = 3;
constexpr std::size_t kEntry = 12;  // bytes

}  // namespace

int orientation_of(const std::uint8_t* exif, std::size_t size) {
  const bool little = size > 0 && exif[0] == 'I';
  const auto number = [&](std::size_t place, int bytes) -> std::size_t {
    if (place + bytes > size) return 0;
    std::size_t value = 0;
    for (int i = 0; i < bytes; ++i)
      value |= static_cast<std::size_t>(exif[place + i]) << 8 * (little ? i : bytes - 1 - i);
    return value;
  };
  const std::size_t directory = number(4, 4);
  const std::size_t entries = number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntry;
    if (number(entry, 2) == kOrientation && number(entry + 2, 2) == kShort) {
      const auto found = static_cast<int>(number(entry + 8, 2));
      return found >= 1 && found <= 8 ? found : 1;
    }
  }
  return 1;
}

Raster upright(const Raster& source, int orientation) {
  const bool mirrored = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool upside_down = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool transposed = orientation >= 5;
  Raster result(transposed ? source.width : source.height,
                transposed ? source.height : source.width, source.channels);
  for (int y = 0; y < result.height; ++y)
    for (int x = 0; x < result.width; ++x) {
      int from_y = transposed ? x : y, from_x = transposed ? y : x;
      if (mirrored) from_x = source.width - 1 - from_x;
      if (upside_down) from_y = source.height - 1 - from_y;
      std::copy_n(source.at(from_y, from_x), source.channels, result.at(y, x));
    }
  return result;
}
