// A PNG file as the network takes it, as prepare() of utils/picture.py makes it.
#pragma once

#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

// What a network's input looks like, as the package says it.
struct Spec {
  int height, width, channels;           // pixels; 1 grey, 3 RGB
  std::vector<float> means, deviations;  // of levels from 0 to 1, by channel
  bool keep_ratio;                       // the width follows the picture's ratio, up to `width`
  bool vertical;                         // text runs downwards: turned so that its top comes first
};

// Levels (channels, height, width), normalised.
struct Picture {
  int width;
  std::vector<float> levels;
};

// A file that cannot be read; the message says why, without its name.
struct PictureError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws std::runtime_error where a fact is missing, or makes no sense.
Spec spec_of(const std::unordered_map<std::string, std::string>& metadata);

// Throws PictureError for a file that cannot be read whole.
Picture prepare(const std::string& path, const Spec& spec);
