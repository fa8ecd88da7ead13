// prepare_picture MODEL.pt2 PICTURE.png... > FILE: what the network is given of each, as raw floats
// (channels, height, width), one picture behind the other, to set beside what Python prepares.
#include "program.hpp"
#include "reader.hpp"

namespace {

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2) {
    std::cerr << "usage: prepare_picture MODEL.pt2 PICTURE.png... > FILE\n";
    return 2;
  }
  const Spec spec = spec_of(metadata_of(arguments[0]));
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    try {
      const Picture picture = prepare(arguments[i], spec);
      std::cout.write(reinterpret_cast<const char*>(picture.levels.data()),
                      static_cast<std::streamsize>(picture.levels.size() * sizeof(float)));
    } catch (const PictureError& error) {
      throw PictureError(arguments[i] + ": " + error.what());
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, run); }
