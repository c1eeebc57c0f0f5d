// What the kernels share: short integer names, the warp-level matrix instructions (mma.sync), asynchronous copies to
// shared memory (cp.async), matrix loads (ldmatrix), division by a fixed divisor, and the geometry of a convolution. No
// headers are included, so the run-time compiler needs none. Everything here works from compute capability 8.0 on.
// Fragment naming follows the PTX manual: in a warp, `group` = lane / 4 and `quad` = lane % 4.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE __device__ __forceinline__
/** A kernel whose blocks have at most the file's THREADS threads. */
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)

INLINE u32 sharedAddress(const void *pointer) { return (u32)__cvta_generic_to_shared(pointer); }

/** What a product adds to its outputs of a column, or of two from an even one on; without a bias what changes none. */
INLINE float biasOf(const float *bias, int column) { return bias ? bias[column] : -0.0f; }
INLINE float2 biasOfTwo(const float *bias, int column) {
  return bias ? *(const float2 *)(bias + column) : make_float2(-0.0f, -0.0f);
}

/**
 * 16 bytes from global to shared memory; zeros where `valid` is false (nothing is read then). Both addresses 16-byte
 * aligned.
 */
INLINE void copyAsync16(u32 to, const void *from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(valid ? 16 : 0));
}
INLINE void copyAsync8(u32 to, const void *from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;\n" ::"r"(to), "l"(from), "r"(valid ? 8 : 0));
}
INLINE void copyAsync4(u32 to, const void *from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(from), "r"(valid ? 4 : 0));
}
INLINE void commitCopies() { asm volatile("cp.async.commit_group;\n" ::); }
INLINE void waitForAllCopies() { asm volatile("cp.async.wait_all;\n" ::); }
template <int PENDING> INLINE void waitForCopies() { asm volatile("cp.async.wait_group %0;\n" ::"n"(PENDING)); }

/** Four 8×8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8. */
INLINE void loadMatrices(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
INLINE void loadMatricesTransposed(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}

/**
 * Picks the form of an integer instruction for operands of 8 bits with and without sign; the flags fold to constants
 * where loops unroll.
 */
#define BY_SIGNS(signedA, signedB, INSTRUCTION)                                                                                    \
  if (signedA) {                                                                                                                   \
    if (signedB) INSTRUCTION("s8.s8");                                                                                             \
    else INSTRUCTION("s8.u8");                                                                                                     \
  } else {                                                                                                                         \
    if (signedB) INSTRUCTION("u8.s8");                                                                                             \
    else INSTRUCTION("u8.u8");                                                                                                     \
  }

/** d += a·b on 8-bit integers, m16n8k32, int32 sums. */
INLINE void multiplyBytes(int (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, bool signedA = false, bool signedB = false) {
#define M16N8K32(types)                                                                                                            \
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." types ".s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"       \
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])                                                                    \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
  BY_SIGNS(signedA, signedB, M16N8K32)
#undef M16N8K32
}
/** d += a·b on f16 operands, m16n8k16, f32 sums. */
INLINE void multiplyF16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
INLINE void multiplyBf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/** d += a·b on tf32 operands, m16n8k8, f32 sums; the unit ignores the 13 low bits of each operand. */
INLINE void multiplyTf32(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
/** Two f32 as a pair of bf16, `low` in the low half. */
INLINE u32 packBf16(float low, float high) {
  u32 packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
INLINE u16 toF16(float x) {
  u16 h;
  asm("cvt.rn.f16.f32 %0, %1;\n" : "=h"(h) : "f"(x));
  return h;
}
INLINE float fromF16(u16 h) {
  float x;
  asm("cvt.f32.f16 %0, %1;\n" : "=f"(x) : "h"(h));
  return x;
}

/** Quotient by a divisor that the host prepared: q = (mulhi(n, factor) + n) >> shift, exact for n < 2^31. */
struct Divider {
  u32 divisor, factor, shift;
  INLINE u32 quotient(u32 n) const { return (__umulhi(n, factor) + n) >> shift; }
};

/**
 * x / divisor, correctly rounded, without the branch of a division, which zeros take: x·(1/divisor), corrected twice by
 * what the quotient leaves. For quotients below 2^100; a larger one stays uncorrected.
 */
struct Quotient {
  float divisor, inverse;
  INLINE explicit Quotient(float divisor) : divisor(divisor), inverse(__frcp_rn(divisor)) {}
  INLINE float of(float x) const {
    float q = __fmul_rn(x, inverse);
    if (!(fabsf(q) < 1.2676506e30f)) return q;
    q = __fmaf_rn(__fmaf_rn(-q, divisor, x), inverse, q);
    return __fmaf_rn(__fmaf_rn(-q, divisor, x), inverse, q);
  }
};

/** Along one axis, the taps inside the image of a window that begins at `start`: first ≤ tap < end. */
struct TapRange {
  int first, end;
  INLINE TapRange(int start, int dilation, int extent, int taps) {
    first = max(0, -start);
    end = max(0, extent - start);
    if (dilation > 1) {
      first = (first + dilation - 1) / dilation;
      end = (end + dilation - 1) / dilation;
    }
    first = min(taps, first);
    end = max(first, min(taps, end));
  }
};

/**
 * A convolution: x [n, h, w, c], w [kh, kw, c/groups, o], output [n, oh, ow, o]; channel counts are those of all groups
 * together.
 */
struct Geometry {
  int n, h, w, c, oh, ow, o, kh, kw, strideY, strideX, paddingY, paddingX, dilationY, dilationX, groups;
  /** Division of an output pixel's number by oh·ow and by ow. */
  Divider byImage, byRow;

  INLINE int inputs() const { return c / groups; }
  INLINE int outputs() const { return o / groups; }
  INLINE int pixels() const { return n * oh * ow; }
  INLINE int inner() const { return kh * kw * inputs(); }
  INLINE void locate(int pixel, int &image, int &oy, int &ox) const {
    image = byImage.quotient(pixel);
    int rest = pixel - image * (oh * ow);
    oy = byRow.quotient(rest);
    ox = rest - oy * ow;
  }
};

#if defined(WGMMA) && WGMMA
// Hopper's warpgroup instructions: 128 threads multiply a 64×32 operand in registers with a 32×64 one in shared memory,
// asynchronously.

/**
 * Describes rows of 32 bytes, the inner index contiguous, the 16-byte halves of rows 4…7 of each 8 swapped (32-byte
 * swizzle).
 */
INLINE u64 describeRows(u32 address) { return (u64)((address & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)(256 >> 4) << 32 | (u64)3 << 62; }
/**
 * Describes 64 columns of 16 bits contiguous, one row of 128 bytes per inner index, chunk c of row k at c ^ (k % 8)
 * (128-byte swizzle).
 */
INLINE u64 describeColumns(u32 address) { return (u64)((address & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62; }
/**
 * Describes rows of 16 bytes, eight of them contiguous, without swizzle, at base + offset: the inner axis goes on
 * `stride` bytes behind its first 16. All in bytes, multiples of 16; addresses of shared memory are below 2^18.
 */
INLINE u64 halvesAt(u32 base, u32 offset, u32 stride) {
  return (u64)(128 >> 4) << 32 | ((base >> 4) + ((offset >> 4) | (stride >> 4) << 16));
}
/** The same with the second half at the address `second`, behind the first. */
INLINE u64 halvesAnd(u32 base, u32 offset, u32 second) {
  return (u64)(128 >> 4) << 32 | ((base + offset) >> 4 | (second - base - offset) >> 4 << 16);
}
INLINE void beginGroup() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
INLINE void endGroup() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }
template <int PENDING = 0> INLINE void waitForGroup() { asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(PENDING) : "memory"); }
// Warps of one block that hand stages of shared memory to each other (mbarrier): whoever fills one arrives, or has its
// copies arrive; who reads it waits for the phase. A phase is a parity: 0, 1, 0, …
INLINE void initBarrier(u32 barrier, int arrivals) { asm volatile("mbarrier.init.shared.b64 [%0], %1;\n" ::"r"(barrier), "r"(arrivals)); }
/** Behind the initialisation of all barriers, before the block's own barrier. */
INLINE void publishBarriers() { asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory"); }
INLINE void arriveAt(u32 barrier) { asm volatile("mbarrier.arrive.shared.b64 _, [%0];\n" ::"r"(barrier) : "memory"); }
/** Arrives, and has the phase wait for so many bytes of bulk copies too. */
INLINE void arriveWithBytes(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;\n" ::"r"(barrier), "r"(bytes) : "memory");
}
/** This thread arrives once all of its copies so far are there. */
INLINE void arriveWithCopies(u32 barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];\n" ::"r"(barrier) : "memory");
}
INLINE void waitForPhase(u32 barrier, u32 phase) {
  asm volatile("{\n.reg .pred done;\nWAIT:\nmbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n@done bra DONE;\nbra WAIT;\nDONE:\n}\n" ::"r"(
                   barrier),
               "r"(phase)
               : "memory");
}
/** Contiguous bytes, a multiple of 16, by the copy engine, which tells `barrier` of them. */
INLINE void copyBulk(u32 to, const void *from, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];\n" ::"r"(to), "l"(from), "r"(bytes),
               "r"(barrier)
               : "memory");
}
/** The barrier `number` of some warps of a block: so many threads. */
INLINE void meet(int number, int threads) { asm volatile("bar.sync %0, %1;\n" ::"r"(number), "r"(threads) : "memory"); }
/** Registers of a thread from here on, of all four warps of a warpgroup. */
template <int COUNT> INLINE void takeRegisters() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(COUNT)); }
template <int COUNT> INLINE void giveRegisters() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(COUNT)); }

/** Ordinary copies to shared memory become visible to the matrix unit's own reads. */
INLINE void publishCopies() { asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory"); }

#define SUMS_32                                                                                                                    \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}"
#define FOUR(constraint, d) constraint(d[0]), constraint(d[1]), constraint(d[2]), constraint(d[3])
#define EIGHT_FOURS(constraint, d)                                                                                                 \
  FOUR(constraint, (d)[0]), FOUR(constraint, (d)[1]), FOUR(constraint, (d)[2]), FOUR(constraint, (d)[3]),                          \
      FOUR(constraint, (d)[4]), FOUR(constraint, (d)[5]), FOUR(constraint, (d)[6]), FOUR(constraint, (d)[7])

/**
 * d += a·b on 8-bit integers, 64 columns: a as in multiplyBytes, of 16 rows per warp; d[n] are the sums of columns 8n …
 * 8n+7.
 */
INLINE void multiplyBytesGroup64(int (*d)[4], const u32 (&a)[4], u64 b, bool signedA = false, bool signedB = false) {
#define M64N64K32(types)                                                                                                           \
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k32.s32." types " " SUMS_32 ", {%32,%33,%34,%35}, %36, 1;\n"                    \
               : EIGHT_FOURS("+r", d)                                                                                              \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
  BY_SIGNS(signedA, signedB, M64N64K32)
#undef M64N64K32
}
/** The same for 128 columns. */
INLINE void multiplyBytesGroup128(int (*d)[4], const u32 (&a)[4], u64 b, bool signedA = false, bool signedB = false) {
#define M64N128K32(types)                                                                                                          \
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k32.s32." types " "                                                            \
               "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,"   \
               "%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,"  \
               "%58,%59,%60,%61,%62,%63}, {%64,%65,%66,%67}, %68, 1;\n"                                                            \
               : EIGHT_FOURS("+r", d), EIGHT_FOURS("+r", d + 8)                                                                    \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
  BY_SIGNS(signedA, signedB, M64N128K32)
#undef M64N128K32
}
/**
 * d += popcounts of a AND b, or where `first` d = them, whatever it was, 64 columns, inner length 256 bits: a as in
 * multiplyBytes, b as halvesAt says.
 */
INLINE void countBitsGroup64(int (*d)[4], const u32 (&a)[4], u64 b, bool first) {
  if (first) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k256.s32.b1.b1.and.popc " SUMS_32 ", {%32,%33,%34,%35}, %36, 0;\n"
                 : EIGHT_FOURS("+r", d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k256.s32.b1.b1.and.popc " SUMS_32 ", {%32,%33,%34,%35}, %36, 1;\n"
                 : EIGHT_FOURS("+r", d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  }
}
/** Behind a wait: the sums are there from here on, for the compiler too. */
INLINE void takeSums(int (*d)[4]) {
#pragma unroll
  for (int i = 0; i < 8; i++) asm volatile("" : FOUR("+r", d[i])::"memory");
}
/**
 * d += a·b on f16 operands, 64 columns, inner length 16; b as describeColumns says, or `transposed`: its rows are the
 * columns, and 16 of the 64 inner elements of each begin at the address.
 */
INLINE void multiplyF16Group64(float (*d)[4], const u32 (&a)[4], u64 b, bool transposed = false) {
#define M64N64K16(of_b)                                                                                                            \
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 " SUMS_32 ", {%32,%33,%34,%35}, %36, 1, 1, 1, " of_b ";\n"      \
               : EIGHT_FOURS("+f", d)                                                                                              \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
  if (transposed) M64N64K16("0");
  else M64N64K16("1");
#undef M64N64K16
}
#endif
