#include "reader.hpp"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <algorithm>
#include <filesystem>

namespace {

using Metadata = std::unordered_map<std::string, std::string>;

// Code points of a text in UTF-8: a byte 10xxxxxx goes on with the one before.
std::vector<std::string> code_points(const std::string& text) {
  std::vector<std::string> found;
  for (const char byte : text)
    if ((byte & 0xC0) == 0x80 && !found.empty())
      found.back() += byte;
    else
      found.emplace_back(1, byte);
  return found;
}

// Whether the processor has what the package was compiled for.
bool can_run(const std::string& wanted) {
  static const std::vector<std::string> kinds{"DEFAULT", "AVX2", "AVX512"};  // each has the ones before
  const auto rank = [](const std::string& kind) {
    return std::find(kinds.begin(), kinds.end(), kind) - kinds.begin();
  };
  const std::string here = at::get_cpu_capability();
  return wanted == here || (rank(here) < std::ssize(kinds) && rank(wanted) < rank(here));
}

std::string release(const std::string& version) { return version.substr(0, version.find('+')); }

}  // namespace

Metadata metadata_of(const std::string& package) {
  if (!std::filesystem::is_regular_file(package))
    throw std::runtime_error(package + ": no such file; export.py --format aoti writes one");
  Metadata found;
  try {
    found = torch::inductor::AOTIModelPackageLoader::load_metadata_from_package(package, "model");
    spec_of(found);
  } catch (const c10::Error&) {
    throw std::runtime_error(package + ": not a package that export.py --format aoti wrote");
  } catch (const std::exception& error) {
    throw std::runtime_error(package + ": " + error.what());
  }
  const std::string torch = release(found["crnn.torch"]);
  if (torch != release(TORCH_VERSION))
    throw std::runtime_error(package + ": compiled with torch " + torch + ", and this is " +
                             release(TORCH_VERSION) + "; export it anew, or build with that one");
  if (!can_run(found["crnn.cpu_capability"]))
    throw std::runtime_error(package + ": compiled for a processor with " +
                             found["crnn.cpu_capability"] + ", and this has " +
                             at::get_cpu_capability() + "; export it on a machine like this one");
  return found;
}

Reader::Reader(const std::string& package)
    : metadata_(metadata_of(package)),
      spec_(spec_of(metadata_)),
      characters_(code_points(metadata_["crnn.characters"])),
      package_(package) {}

std::vector<std::string> Reader::read(const std::vector<Picture>& pictures) {
  if (pictures.empty()) return {};
  const c10::InferenceMode guard;
  std::vector<std::int64_t> widths;
  for (const Picture& picture : pictures) widths.push_back(picture.width);
  const auto count = static_cast<std::int64_t>(pictures.size());
  const auto widest = *std::max_element(widths.begin(), widths.end());
  at::Tensor images = at::zeros({count, spec_.channels, spec_.height, widest});
  for (std::int64_t i = 0; i < count; ++i) {
    auto* levels = const_cast<float*>(pictures[i].levels.data());
    images[i].narrow(2, 0, widths[i])
        .copy_(at::from_blob(levels, {spec_.channels, spec_.height, widths[i]}));
  }
  const at::Tensor true_widths = at::tensor(widths, at::kLong);
  const auto outputs = package_.run({images, true_widths});
  const at::Tensor classes = outputs[0].argmax(2).contiguous();  // log_probs (N, T, C)
  const at::Tensor lengths = outputs[1].contiguous();
  if (outputs[0].size(2) != std::ssize(characters_) + 1)
    throw std::runtime_error("the package has not as many characters as classes; export it anew");

  std::vector<std::string> texts(pictures.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t* steps = classes.const_data_ptr<std::int64_t>() + i * classes.size(1);
    std::int64_t before = 0;
    for (std::int64_t step = 0; step < lengths.const_data_ptr<std::int64_t>()[i]; ++step) {
      if (steps[step] != 0 && steps[step] != before) texts[i] += characters_[steps[step] - 1];
      before = steps[step];
    }
  }
  return texts;
}
