// A package that export.py --format aoti wrote: pictures in, texts out.
#pragma once

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "picture.hpp"

// What a package says of itself, read without running it. Throws std::runtime_error, with its path,
// for what is no package of ours, and for one of another torch or another kind of processor.
std::unordered_map<std::string, std::string> metadata_of(const std::string& package);

class Reader {
 public:
  // Throws as metadata_of.
  explicit Reader(const std::string& package);

  // The best path's texts, in UTF-8. A picture reads the same in any batch.
  std::vector<std::string> read(const std::vector<Picture>& pictures);

  const Spec& spec() const { return spec_; }

 private:
  std::unordered_map<std::string, std::string> metadata_;
  Spec spec_;
  std::vector<std::string> characters_;  // of class 1, 2, ...; class 0 is the blank
  torch::inductor::AOTIModelPackageLoader package_;
};
