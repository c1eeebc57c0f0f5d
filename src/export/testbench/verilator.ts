// The bench of a layer job as a C++ harness for Verilator: the same streams, stalls and checks as the bench in Verilog,
// many times faster. Verilator has two values to a bit, so x is not seen; instead what a stream carries while it is not
// valid is noise.
// Invariant: it passes (exit code 0, `PASS n`) under the conditions of the bench in Verilog and no others.

import type { ProductFormat } from '../rtl/multiplier.ts';
import { type BenchNames, sizesOf } from './bench.ts';
import type { LayerJob } from './job.ts';

/** The text of `tb_NAME.cpp`; `--prefix Vtb_NAME`. */
export function verilatorBench(job: LayerJob, names: BenchNames, format: ProductFormat): string {
  const { title, bench, products } = names;
  const { table } = job.slice.multiplier;
  const sizes = Object.entries(sizesOf(job, format.bits)).map(([key, value]) => `${key} = ${value}`);
  const value = (signed: boolean, text: string, bits: string) =>
    signed ? `signedValue(${text}, ${bits})` : `(long long)${text}`;
  return `// Self-checking bench of the layer ${title}: ${job.images} image(s), ${job.results.length} results.
// Prints "PASS n", or the first difference with the operands of its sum and "FAIL" (exit code 1). Streams stall by a
// pseudo-random pattern: the first argument is another seed, or "full" for none. Files are opened from the folder in
// which the program is started.
#include "V${bench}.h"
#include "verilated.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

constexpr long ${sizes.join(',\n    ')};
constexpr int SUM_BITS = ${job.sumBits};

/** A word of any width, the lowest 32 bits first. */
using Word = std::vector<uint32_t>;

uint64_t field(const Word& word, long first, long bits) {
  uint64_t value = 0;
  for (long bit = 0; bit < bits; bit++)
    value |= uint64_t(word[(first + bit) / 32] >> ((first + bit) % 32) & 1) << bit;
  return value;
}

long long signedValue(uint64_t pattern, int bits) {
  return (long long)(pattern << (64 - bits)) >> (64 - bits);
}

/** The words of a .mem file, which must be \`count\`. */
std::vector<Word> memory(const std::string& path, long count, long bits) {
  std::ifstream file(path);
  std::vector<Word> words;
  std::string line;
  while (std::getline(file, line)) {
    line = line.substr(0, line.find("//"));
    std::string digits;
    for (char c : line)
      if (std::isxdigit((unsigned char)c)) digits += c;
    if (digits.empty()) continue;
    Word word(size_t(bits + 31) / 32, 0);
    long place = 0;
    for (size_t at = digits.size(); at-- > 0; place += 4)
      if (size_t(place / 32) < word.size())
        word[place / 32] |= uint32_t(std::stoul(std::string(1, digits[at]), nullptr, 16)) << (place % 32);
    words.push_back(word);
  }
  if (long(words.size()) != count) {
    std::printf("FAIL ${title}: %s has %ld words, not %ld\\n", path.c_str(), long(words.size()), count);
    std::exit(1);
  }
  return words;
}

/** Ports are integers up to 64 bits, and arrays of 32 bits beyond. */
template <class Port> void drive(Port& port, const Word& word, long first, long bits) {
  port = Port(field(word, first, bits));
}
template <size_t N> void drive(VlWide<N>& port, const Word& word, long first, long bits) {
  for (size_t at = 0; at < N; at++) {
    long left = bits - 32 * long(at);
    port[at] = uint32_t(field(word, first + 32 * long(at), left < 32 ? left : 32));
  }
}

/** When to go on: phases of 64 cycles without stalls, with some, with many and with half (xorshift, 32 bits). */
struct Stalls {
  uint32_t noise;
  uint8_t cycle;
  bool full;
  Stalls(uint32_t salt, uint32_t seed, bool full)
      : noise((0x9e3779b9u * (2 * salt + 1)) ^ seed), cycle(uint8_t(37 * salt)), full(full) {}
  bool go() const {
    switch (full ? 0 : cycle >> 6) {
      case 0: return true;
      case 1: return (noise >> 2 & 3) != 0;
      case 2: return (noise >> 2 & 7) == 0;
      default: return noise >> 2 & 1;
    }
  }
  void step() {
    noise ^= noise << 13;
    noise ^= noise >> 17;
    noise ^= noise << 5;
    cycle++;
  }
};

/** Beats of a memory, again from its beginning until \`total\` were given. A beat stands until it is taken. */
struct Source {
  std::vector<Word> memory;
  long total, next = 0;
  Stalls stalls;
  bool valid = false;
  Word data;
  Source(std::vector<Word> words, long total, Stalls stalls)
      : memory(std::move(words)), total(total), stalls(stalls), data(memory[0].size(), 0) {}
  /** A rising edge; whether there is something new to drive. */
  void edge(bool ready) {
    if (!valid || ready) {
      valid = next < total && stalls.go();
      if (valid) data = memory[size_t(next++) % memory.size()];
      else
        for (uint32_t& part : data) part = part * 1664525u + stalls.noise;
    }
    stalls.step();
  }
  bool done() const { return next == total && !valid; }
};

struct Bench {
  Source weights, activations, constants;
  std::vector<Word> results, sums, products;
  Stalls stalls;
  long taken = 0;

  int fail(const char* what) const {
    std::printf("FAIL ${title}: %s (after %ld of %ld results; beats given: weights %ld of %ld, activations %ld of %ld, "
                "constants %ld of %ld)\\n",
                what, taken, IMAGES * RESULTS, weights.next, weights.total, activations.next, activations.total,
                constants.next, constants.total);
    return 1;
  }

  /** Where the result stands, and every product of its sum by the table. */
  int difference(uint64_t found) const {
    long image = taken / RESULTS, n = taken % RESULTS;
    long g = n / (OUTPUTS * POSITIONS);
    n %= OUTPUTS * POSITIONS;
    long m = n / (C * POSITIONS);
    n %= C * POSITIONS;
    long columns = OUTPUTS - m * C < C ? OUTPUTS - m * C : C;
    long p = n / columns, c = n % columns, b = p / BLOCK;
    long length = POSITIONS - b * BLOCK < BLOCK ? POSITIONS - b * BLOCK : BLOCK;
    std::printf("DIFFERENCE ${title}: image %ld, position (%ld, %ld), channel %ld: expected %lld, found %lld; expected sum %lld\\n",
                image, p / COLUMNS, p % COLUMNS, g * OUTPUTS + m * C + c, result(field(results[taken], 0, YB)), result(found),
                signedValue(field(sums[taken], 0, SUM_BITS), SUM_BITS));
    for (long t = 0; t < TAPS; t++) {
      long k = t / R, r = t % R;
      const Word& beat =
          activations.memory[image * ACTIVATIONS + ((g * OUTPUT_TILES + m) * POSITIONS + b * BLOCK) * TAP_TILES + k * length + p % BLOCK];
      const Word& row = weights.memory[(((g * OUTPUT_TILES + m) * BLOCKS + b) * TAP_TILES + k) * R + R - 1 - r];
      if (!field(beat, R * XB + r, 1)) continue;
      uint64_t w = field(row, c * WB, WB), x = field(beat, r * XB, XB);
      uint64_t product = field(products[w << XB | x], 0, PB);
      std::printf("  tap (%ld, %ld), channel %ld: w %lld, x %lld: product %lld\\n", t / DEPTH / WINDOW, t / DEPTH % WINDOW,
                  g * DEPTH + t % DEPTH, ${value(table.signed, 'w', 'WB')}, ${value(table.signed, 'x', 'XB')}, ${value(format.signed, 'product', 'PB')});
    }
    return fail("a result differs");
  }

  static long long result(uint64_t pattern) {
    return ${job.slice.top.resultSigned ? 'signedValue(pattern, YB)' : '(long long)pattern'};
  }

  int run(VerilatedContext& context) {
    V${bench} top{&context};
    bool ready = false, waited = false, heldLast = false;
    uint64_t held = 0;
    long idle = 0;
    auto present = [&] {
      top.w_valid = weights.valid;
      drive(top.w_data, weights.data, 0, C * WB);
      top.x_valid = activations.valid;
      drive(top.x_data, activations.data, 0, R * XB);
      drive(top.x_taps, activations.data, R * XB, R);
      drive(top.x_class, activations.data, R * XB + R, CB);
      top.c_valid = constants.valid;
      top.c_data = constants.data[0];
      top.y_ready = ready;
      top.eval();
    };
    auto edge = [&] {
      top.clk = 1;
      top.eval();
      top.clk = 0;
      top.eval();
    };
    top.clk = 0;
    top.rst = 1;
    present();
    edge();
    edge();
    top.rst = 0;
    for (;;) {
      // What passes on the next edge is settled now.
      present();
      bool valid = top.y_valid, last = top.y_last;
      uint64_t data = top.y_data;
      if (waited && (!valid || data != held || last != heldLast))
        return fail("a result changed or went away before it was taken");
      waited = valid && !ready;
      held = data;
      heldLast = last;
      idle++;
      if (valid && ready) {
        idle = 0;
        if (taken == IMAGES * RESULTS) return fail("a result came behind the last one");
        if (data != field(results[taken], 0, YB)) return difference(data);
        if (last != (taken % RESULTS == RESULTS - 1)) return fail("y_last does not stand at the last result of an image alone");
        taken++;
      }
      if (taken == IMAGES * RESULTS && idle == 200) {
        if (!(weights.done() && activations.done() && constants.done())) return fail("beats were left when all results had come");
        std::printf("PASS %ld\\n", taken);
        return 0;
      }
      if (idle == PATIENCE) return fail("no result for a long time");
      bool w_ready = top.w_ready, x_ready = top.x_ready, c_ready = top.c_ready;
      edge();
      weights.edge(w_ready);
      activations.edge(x_ready);
      constants.edge(c_ready);
      ready = stalls.go();
      stalls.step();
    }
  }
};

}  // namespace

int main(int count, char** arguments) {
  const bool full = count > 1 && !std::strcmp(arguments[1], "full");
  const uint32_t seed = count > 1 && !full ? uint32_t(std::strtoul(arguments[1], nullptr, 10)) : 0;
  const std::string folder = "${bench}/";
  Bench bench{
      Source(memory(folder + "weights.mem", WEIGHTS, C * WB), IMAGES * WEIGHTS, Stalls(1, seed, full)),
      Source(memory(folder + "activations.mem", IMAGES * ACTIVATIONS, BEAT), IMAGES * ACTIVATIONS, Stalls(2, seed << 8, full)),
      Source(memory(folder + "constants.mem", CONSTANTS, 32), IMAGES * CONSTANTS, Stalls(3, seed << 16, full)),
      memory(folder + "results.mem", IMAGES * RESULTS, YB),
      memory(folder + "sums.mem", IMAGES * RESULTS, SUM_BITS),
      memory("${products}", 1L << (WB + XB), PB),
      Stalls(4, seed << 24 ^ seed, full)};
  VerilatedContext context;
  return bench.run(context);
}
`;
}
