// The test that goes with a network as C: a program that runs golden images and compares every tensor with what the
// interpreter has, and a Makefile that builds it with all warnings, by look-up and by gates.
// golden.bin: for each image its pixels, then the tensors in the order of the operations; elements little-endian, of as
// many bytes as their type in C.

import { interpreter } from '../../integer/interpret.ts';
import type { IntegerNetwork } from '../../integer/network.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import { type CType, cTypes } from './memory.ts';
import { cString } from './text.ts';

/** `images`: [H, W, C] pixels each. */
export function goldenBytes(network: IntegerNetwork, types: readonly CType[], images: readonly Uint8Array[]) {
  const { tensors, operations } = network;
  const run = interpreter(network);
  const outputs = operations.map(({ output }) => output);
  const bytesOf = (number: number) => cTypes[types[number]!].bytes * sizeOf(tensors[number]!.shape);
  const each = sizeOf(tensors[0]!.shape) + outputs.reduce((sum, number) => sum + bytesOf(number), 0);
  const golden = new Uint8Array(images.length * each);
  let at = 0;
  for (const image of images) {
    golden.set(image, at);
    at += image.length;
    const values = run(image, { checked: true });
    for (const number of outputs) {
      const { bytes } = cTypes[types[number]!];
      const elements = values[number]!;
      for (let n = 0; n < elements.length; n++) {
        for (let byte = 0; byte < bytes; byte++) golden[at++] = (elements[n]! >> (8 * byte)) & 255;
      }
    }
  }
  return golden;
}

export function selfTest({ tensors }: IntegerNetwork, types: readonly CType[], name: string, images: number): string {
  const rows = tensors.map(({ name: tensor, shape }, number) => {
    const type = types[number]!;
    return `  {${cString(`${tensor} [${shape.join(', ')}]`)}, ${sizeOf(shape)}, ${type.toUpperCase()}},`;
  });
  return `/* Runs the golden images through ${name}.c and compares every tensor with golden.bin: prints equal, or the first
   difference. "speed": images per second instead. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void compare(int number, const void *elements);
#define NETWORK_TENSOR(number, elements) compare(number, elements)
#include "${name}.c"

#define IMAGES ${images}
#define PIXELS ${sizeOf(tensors[0]!.shape)}
#define CLASSES ${name.toUpperCase()}_CLASSES

enum type { ${Object.keys(cTypes)
    .map((type) => type.toUpperCase())
    .join(', ')} };
static const struct {
  const char *name;
  long count;
  enum type type;
} tensors[] = {
${rows.join('\n')}
};

static FILE *golden;
static int comparing, image_number;
static long compared;

static int next_byte(void)
{
  const int byte = getc(golden);
  if (byte != EOF) return byte;
  fprintf(stderr, "golden.bin ends before its last image\\n");
  exit(2);
}

/* The next element of golden.bin. */
static int32_t next_element(int bytes, int is_signed)
{
  int64_t value = 0;
  for (int n = 0; n < bytes; n++) value |= (int64_t)next_byte() << 8 * n;
  return (int32_t)(is_signed && value >> (8 * bytes - 1) ? value - ((int64_t)1 << 8 * bytes) : value);
}

static void compare(int number, const void *elements)
{
  if (!comparing) return;
  for (long n = 0; n < tensors[number].count; n++) {
    int32_t expected = 0, found = 0;
    switch (tensors[number].type) {
${Object.entries(cTypes)
  .map(
    ([type, { name: c, bytes, low }]) =>
      `    case ${type.toUpperCase()}: expected = next_element(${bytes}, ${low < 0 ? 1 : 0}), found = ((const ${c} *)elements)[n]; break;`,
  )
  .join('\n')}
    }
    if (found == expected) continue;
    printf("image %d: tensor %s differs first at element %ld: expected %ld, got %ld\\n", image_number, tensors[number].name, n,
           (long)expected, (long)found);
    exit(1);
  }
  compared++;
}

static void speed(uint8_t images[IMAGES][PIXELS])
{
  int32_t logits[CLASSES];
  long count = 0, sum = 0;
  const clock_t start = clock();
  double seconds;
  do {
    sum += ${name}_classify(images[count++ % IMAGES], logits);
    seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
  } while (seconds < 2);
  printf("%.1f images/s (%ld in %.2f s; sum of classes %ld)\\n", count / seconds, count, seconds, sum);
}

int main(int count, char **arguments)
{
  static uint8_t images[IMAGES][PIXELS];
  int32_t logits[CLASSES];
  golden = fopen("golden.bin", "rb");
  if (!golden) {
    fprintf(stderr, "golden.bin: not found in this folder\\n");
    return 2;
  }
  comparing = 1;
  for (image_number = 0; image_number < IMAGES; image_number++) {
    for (int n = 0; n < PIXELS; n++) images[image_number][n] = (uint8_t)next_byte();
    ${name}_classify(images[image_number], logits);
  }
  if (getc(golden) != EOF) {
    fprintf(stderr, "golden.bin goes on after its last image\\n");
    return 2;
  }
  fclose(golden);
  comparing = 0;
  printf("equal: %d images, %ld tensors\\n", IMAGES, compared);
  if (count > 1 && strcmp(arguments[1], "speed") == 0) speed(images);
  return 0;
}
`;
}

export function makefile(name: string, headers: readonly string[]): string {
  const parts = ['main.c', `${name}.c`, `${name}.h`, ...headers].join(' ');
  return `# make: by look-up; make gates: by the gates of the multipliers; make sanitize: both under the sanitizers of gcc
# and clang; make speed: images per second. $(BUILD)/${name}.o is what a program links that has its own main.
BUILD ?= build
CFLAGS = -O3
WARNINGS = -std=c99 -Wall -Wextra -Werror -pedantic
SANITIZE = -O1 -g -fsanitize=undefined,address -fno-sanitize-recover=all

table: $(BUILD)/by-table
\t$(BUILD)/by-table

gates: $(BUILD)/by-gates
\t$(BUILD)/by-gates

speed: $(BUILD)/by-table $(BUILD)/by-gates
\t$(BUILD)/by-table speed
\t$(BUILD)/by-gates speed

$(BUILD):
\tmkdir -p $@

sanitize: ${parts} | $(BUILD)
\t$(CC) $(WARNINGS) $(SANITIZE) -o $(BUILD)/sanitized main.c && $(BUILD)/sanitized
\t$(CC) $(WARNINGS) $(SANITIZE) -DPRODUCTS_BY_GATES -o $(BUILD)/sanitized main.c && $(BUILD)/sanitized

$(BUILD)/by-table: ${parts} | $(BUILD)
\t$(CC) $(WARNINGS) $(CFLAGS) -o $@ main.c

$(BUILD)/by-gates: ${parts} | $(BUILD)
\t$(CC) $(WARNINGS) $(CFLAGS) -DPRODUCTS_BY_GATES -o $@ main.c

$(BUILD)/${name}.o: ${parts} | $(BUILD)
\t$(CC) $(WARNINGS) $(CFLAGS) -c -o $@ ${name}.c

clean:
\trm -rf $(BUILD)

.PHONY: table gates speed sanitize clean
`;
}
