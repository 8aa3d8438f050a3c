// The main program of a fuzzer without libFuzzer: the same few thousand inputs every time, mostly
// small values and runs, so that counts and lengths are plausible. A part of `make check`.
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, std::size_t size);

int main() {
  constexpr int kInputs = 3000;
  std::mt19937 random(1);
  std::vector<uint8_t> input;
  for (int i = 0; i < kInputs; ++i) {
    input.clear();
    std::size_t size = random() % (i % 10 == 0 ? 4000 : 200);
    while (input.size() < size) {
      auto value = static_cast<uint8_t>(random() % 3 == 0 ? random() : random() % 8);
      input.insert(input.end(), 1 + random() % 8, value);
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  return 0;
}
