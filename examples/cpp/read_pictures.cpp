// read_pictures MODEL.pt2 PICTURE.png...: a line for each picture, its path, a tab and its text.
// Exit code: 0 all were read; 1 some could not be, each named on stderr; 2 nothing was.
#include <exception>
#include <iostream>

#include "reader.hpp"

namespace {

constexpr std::size_t kBatch = 32;

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2) {
    std::cerr << "usage: read_pictures MODEL.pt2 PICTURE.png...\n";
    return 2;
  }
  Reader reader(arguments[0]);
  int code = 0;
  for (std::size_t start = 1; start < arguments.size(); start += kBatch) {
    std::vector<std::string> paths;
    std::vector<Picture> pictures;
    for (std::size_t i = start; i < std::min(start + kBatch, arguments.size()); ++i) try {
        pictures.push_back(prepare(arguments[i], reader.spec()));
        paths.push_back(arguments[i]);
      } catch (const PictureError& error) {
        std::cerr << arguments[i] << ": " << error.what() << "\n";
        code = 1;
      }
    const auto texts = reader.read(pictures);
    for (std::size_t i = 0; i < paths.size(); ++i) std::cout << paths[i] << "\t" << texts[i] << "\n";
  }
  return code;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run({words + 1, words + count});
  } catch (const std::exception& error) {
    const std::string said = error.what();
    std::cerr << "read_pictures: " << said.substr(0, said.find('\n')) << "\n";
    return 2;
  }
}
