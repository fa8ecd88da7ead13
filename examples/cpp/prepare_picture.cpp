// prepare_picture MODEL.pt2 PICTURE.png > FILE: what the network is given of it, as raw floats
// (channels, height, width), to set beside what Python prepares.
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <exception>
#include <iostream>

#include "picture.hpp"

int main(int count, char** words) {
  if (count != 3) {
    std::cerr << "usage: prepare_picture MODEL.pt2 PICTURE.png > FILE\n";
    return 2;
  }
  try {
    const auto metadata =
        torch::inductor::AOTIModelPackageLoader::load_metadata_from_package(words[1], "model");
    const Picture picture = prepare(words[2], spec_of(metadata));
    std::cout.write(reinterpret_cast<const char*>(picture.levels.data()),
                    static_cast<std::streamsize>(picture.levels.size() * sizeof(float)));
  } catch (const std::exception& error) {
    std::cerr << words[2] << ": " << error.what() << "\n";
    return 2;
  }
  return 0;
}
