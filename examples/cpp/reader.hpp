// A package that export.py --format aoti wrote: pictures in, texts out.
#pragma once

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <string>
#include <vector>

#include "picture.hpp"

class Reader {
 public:
  explicit Reader(const std::string& package);

  // The best path's texts, in UTF-8. A picture reads the same in any batch.
  std::vector<std::string> read(const std::vector<Picture>& pictures);

  const Spec& spec() const { return spec_; }

 private:
  torch::inductor::AOTIModelPackageLoader package_;
  Spec spec_;
  std::vector<std::string> characters_;  // of class 1, 2, ...; class 0 is the blank
};
