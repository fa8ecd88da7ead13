#include "reader.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace {

// Code points of a text in UTF-8: a byte 10xxxxxx goes on with the one before.
std::vector<std::string> code_points(const std::string& text) {
  std::vector<std::string> found;
  for (const char byte : text)
    if ((byte & 0xC0) == 0x80)
      found.back() += byte;
    else
      found.emplace_back(1, byte);
  return found;
}

}  // namespace

Reader::Reader(const std::string& package)
    : package_(package),
      spec_(spec_of(package_.get_metadata())),
      characters_(code_points(package_.get_metadata().at("crnn.characters"))) {}

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

  std::vector<std::string> texts(pictures.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t* steps = classes.const_data_ptr<std::int64_t>() + i * classes.size(1);
    std::int64_t before = 0;
    for (std::int64_t step = 0; step < lengths.const_data_ptr<std::int64_t>()[i]; ++step) {
      if (steps[step] != 0 && steps[step] != before) texts[i] += characters_.at(steps[step] - 1);
      before = steps[step];
    }
  }
  return texts;
}
