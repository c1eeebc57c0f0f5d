// Mean and biased variance of each channel of a tensor, and the running averages that they move: of the tensor itself,
// of the parts that it is the sum of, which is then formed in the same pass, or of sums over tiles of its rows. The
// channel axis is the last one.
// -D: WIDTH, of lane-totals.cuh.
#include "lane-totals.cuh"

/** A running average: `to` = alpha·before + beta·value; none where `to` is null. */
struct Average {
  const float *before;
  float *to;
  float alpha, beta;
  INLINE void move(int column, float value) const {
    if (to) to[column] = alpha * before[column] + beta * value;
  }
};

/**
 * Mean and biased variance, and running averages of both; in double precision the difference of the raw moments loses
 * nothing that a float could hold.
 */
struct Moments : LaneTotals {
  typedef Lanes Item;
  const float *x;
  float *mean, *variance;
  Average ofMean, ofVariance;
  int rows;
  INLINE Item load(int i) const { return readVector(x, i); }
  INLINE void visit(Sum &sum, const Item &item, int, int) const {
#pragma unroll
    EACH_LANE {
      const double value = item.v[l];
      sum.v[l].a += value;
      sum.v[l].b += value * value;
    }
  }
  INLINE void finish(int vector, const Sum &sum) const {
#pragma unroll
    EACH_LANE {
      const int column = vector * WIDTH + l;
      const double mu = sum.v[l].a / rows;
      const double square = sum.v[l].b / rows - mu * mu;
      // What is no number stays none.
      const float center = (float)mu, spread = square < 0 ? 0.0f : (float)square;
      mean[column] = center;
      variance[column] = spread;
      ofMean.move(column, center);
      ofVariance.move(column, spread);
    }
  }
};
KERNEL moments(const float *x, float *mean, float *variance, Average ofMean, Average ofVariance, SHAPE) {
  REDUCE(Moments{{}, x, mean, variance, ofMean, ofVariance, rows});
}

/** The same of sums of parts, as elementwise.cu forms them in order: `number` parts of `count` vectors each. */
struct PartMoments : Moments {
  /** So many are read before the first is added. */
  static constexpr int AHEAD = 4;
  struct Item {
    Lanes parts[AHEAD];
  };
  const float *parts;
  float *sums;
  int count, number;
  INLINE Lanes part(int which, int i) const { return readVector(parts + (size_t)which * count * WIDTH, i); }
  INLINE Item load(int i) const {
    Item item;
#pragma unroll
    for (int which = 0; which < AHEAD; which++) item.parts[which] = which < number ? part(which, i) : Lanes();
    return item;
  }
  INLINE void visit(Sum &sum, const Item &item, int i, int column) const {
    Lanes result = {};
#pragma unroll
    for (int which = 0; which < AHEAD; which++) add(result, item.parts[which]);
    for (int which = AHEAD; which < number; which++) add(result, part(which, i));
    ((Lanes *)sums)[i] = result;
    Moments::visit(sum, result, i, column);
  }
  static INLINE void add(Lanes &sum, const Lanes &more) {
#pragma unroll
    EACH_LANE sum.v[l] += more.v[l];
  }
};
KERNEL moments_of_parts(const float *parts, float *y, float *mean, float *variance, Average ofMean, Average ofVariance, int count,
                        int number, SHAPE) {
  REDUCE(PartMoments{{{}, nullptr, mean, variance, ofMean, ofVariance, rows}, parts, y, count, number});
}

/** The same of sums over tiles of the tensor's `count` rows: Σ x and Σ x² of each channel. */
struct TileMoments : Moments {
  typedef LanePairs Item;
  const LanePairs *tiles;
  INLINE Item load(int i) const { return tiles[i]; }
  INLINE void visit(Sum &sum, const Item &item, int, int) const { sum = merge(sum, item); }
};
KERNEL moments_of_tiles(const double2 *tiles, float *mean, float *variance, Average ofMean, Average ofVariance, int count, SHAPE) {
  REDUCE(TileMoments{{{}, nullptr, mean, variance, ofMean, ofVariance, count}, (const LanePairs *)tiles});
}
