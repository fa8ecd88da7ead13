// How a picture lies, as its EXIF data says.
#pragma once

#include <cstddef>
#include <cstdint>

#include "resize.hpp"

// 1 to 8; 1 (as it is) where the data does not say.
int orientation_of(const std::uint8_t* exif, std::size_t size);

// Turned and mirrored so that it stands upright.
Raster upright(const Raster& source, int orientation);
