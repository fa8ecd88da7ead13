// What both programs share: errors in one line, and output that arrived.
#pragma once

#include <exception>
#include <iostream>
#include <string>
#include <vector>

// Runs `run` with the words behind the program's name. Exit code 2 for what it throws.
inline int run_program(int argc, char** argv, int (*run)(const std::vector<std::string>&)) {
  try {
    const int code = run({argv + 1, argv + argc});
    std::cout.flush();
    if (std::cout) return code;
    std::cerr << "stdout cannot be written to; is the disk full?\n";
  } catch (const std::exception& error) {
    const std::string said = error.what();
    std::cerr << said.substr(0, said.find('\n')) << "\n";
  }
  return 2;
}
