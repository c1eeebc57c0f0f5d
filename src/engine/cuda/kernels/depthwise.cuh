// What the kernels of depthwise convolutions share: every output channel meets one input channel, o / MULTIPLIER. A
// thread works on a tile of ROWS × COLUMNS pixels of the image that it runs over; the window, its steps and the tile
// are macros, so that loops over taps unroll and each pixel of the tile's surroundings is read once for all taps.
// -D: KH, KW, STRIDE_Y, STRIDE_X, DILATION_Y, DILATION_X, PADDING_Y, PADDING_X, MULTIPLIER, ROWS, COLUMNS.
#pragma once
#include "common.cuh"

/** x [n, h, w, c], w [KH, KW, 1, o], output [n, oh, ow, o]; o = c·MULTIPLIER. */
struct Depthwise {
  int n, h, w, c, oh, ow, o;
  /** Division by the vectors of channels, by the tiles along a row, and by the tiles along a column. */
  Divider byChannels, byColumns, byRows;
};

/** The first pixel of a tile, and its image; `tile` counts along rows, then columns, then images. */
struct Tile {
  int image, y, x;
  INLINE Tile(const Depthwise &p, u32 tile) {
    const u32 line = p.byColumns.quotient(tile);
    x = (tile - line * p.byColumns.divisor) * COLUMNS;
    image = p.byRows.quotient(line);
    y = (line - image * p.byRows.divisor) * ROWS;
  }
};

/** The tap `distance` pixels behind the window's first pixel; -1 where there is none. Folds where loops unroll. */
INLINE constexpr int tapAt(int distance, int dilation, int taps) {
  return distance >= 0 && distance % dilation == 0 && distance / dilation < taps ? distance / dilation : -1;
}

/** Pixels from the first that a tile's windows meet to behind the last. */
INLINE constexpr int reach(int outputs, int stride, int dilation, int taps) {
  return (outputs - 1) * stride + (taps - 1) * dilation + 1;
}

/** Whether `at` lies between 0 and `extent`. */
INLINE bool within(int at, int extent) { return (u32)at < (u32)extent; }
