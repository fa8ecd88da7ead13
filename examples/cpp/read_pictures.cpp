// read_pictures MODEL.pt2 PICTURE.png...: a line for each picture, its path, a tab and its text.
// Exit code: 0 all were read; 1 some could not be, each named on stderr; 2 none was.
#include <algorithm>

#include "program.hpp"
#include "reader.hpp"

namespace {

constexpr std::size_t kBatchSize = 32;

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2) {
    std::cerr << "usage: read_pictures MODEL.pt2 PICTURE.png...\n";
    return 2;
  }
  Reader reader(arguments[0]);
  std::size_t total = 0;
  for (std::size_t start = 1; start < arguments.size(); start += kBatchSize) {
    std::vector<std::string> paths;
    std::vector<Picture> pictures;
    for (std::size_t i = start; i < std::min(start + kBatchSize, arguments.size()); ++i) {
      try {
        pictures.push_back(prepare(arguments[i], reader.spec()));
        paths.push_back(arguments[i]);
      } catch (const std::exception& error) {
        std::cerr << arguments[i] << ": " << error.what() << "\n";
      }
    }
    const auto texts = reader.read(pictures);
    for (std::size_t i = 0; i < paths.size(); ++i) std::cout << paths[i] << "\t" << texts[i] << "\n";
    total += paths.size();
  }
  if (total == 0) return 2;
  return total == arguments.size() - 1 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, run); }
