// What the kernels are made of: vectors, number types, products of matrices, memory and threads.
//
// A kernel is compiled once for each instruction set (see setup.py); everything below adapts to the
// vector width of that set, and `supported` says whether this machine has it.
//
// Matrices are made of units of 32 bits: one float32, or two neighbouring bfloat16. Weights come in
// panels of 16 columns, [columns / 16, units, 16], so that a step of the innermost loop reads
// consecutive memory: it multiplies one unit of some tokens with one unit of some columns.

#pragma once

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <new>
#include <thread>
#include <vector>

#define ALWAYS __attribute__((always_inline))
#define INLINE inline ALWAYS
#define UNROLL _Pragma("GCC unroll 16")

namespace {


constexpr int kTokens = 64;  // computed together
constexpr int kPanel = 16;

#ifdef __AVX512F__
constexpr int kLanes = 16;
constexpr int kRows = 8, kPanels = 2;  // tokens and panels of a tile: 16 of 32 registers
#else
constexpr int kLanes = 8;
constexpr int kRows = 4, kPanels = 1;  // 8 of 16 registers
#endif
typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef uint16_t Shorts __attribute__((vector_size(2 * kLanes)));

// ---- vectors ------------------------------------------------------------------------------------

INLINE Vec load(const float* from) {
  Vec v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
INLINE void store(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }

#ifdef __AVX512F__
INLINE Vec spread(float x) { return (Vec)_mm512_set1_ps(x); }
// Both give b where either is not a number.
INLINE Vec larger(Vec a, Vec b) { return (Vec)_mm512_max_ps(a, b); }
INLINE Vec smaller(Vec a, Vec b) { return (Vec)_mm512_min_ps(a, b); }
INLINE Vec root(Vec x) { return (Vec)_mm512_sqrt_ps(x); }
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#else
INLINE Vec spread(float x) { return (Vec)_mm256_set1_ps(x); }
INLINE Vec larger(Vec a, Vec b) { return (Vec)_mm256_max_ps(a, b); }
INLINE Vec smaller(Vec a, Vec b) { return (Vec)_mm256_min_ps(a, b); }
INLINE Vec root(Vec x) { return (Vec)_mm256_sqrt_ps(x); }
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15
#endif
INLINE Vec evens(Vec a, Vec b) { return __builtin_shufflevector(a, b, EVENS); }
INLINE Vec odds(Vec a, Vec b) { return __builtin_shufflevector(a, b, ODDS); }

// Combine the lanes of each of kLanes vectors; lane i of the result is that of vector i.
template <class Operation>
INLINE Vec fold(Vec (&v)[kLanes], Operation combine) {
  UNROLL for (int n = kLanes / 2; n > 0; n /= 2)
    UNROLL for (int i = 0; i < n; ++i)
      v[i] = combine(evens(v[2 * i], v[2 * i + 1]), odds(v[2 * i], v[2 * i + 1]));
  return v[0];
}
INLINE Vec sums(Vec (&v)[kLanes]) {
  return fold(v, [](Vec a, Vec b) { return a + b; });
}
INLINE Vec maxima(Vec (&v)[kLanes]) {
  return fold(v, [](Vec a, Vec b) { return larger(a, b); });
}

// Each round turns the bits of an element's place (row, lane) by one; after log2(kLanes) rounds row
// and lane have changed places.
INLINE void transpose(Vec (&v)[kLanes]) {
  UNROLL for (int round = 1; round < kLanes; round *= 2) {
    Vec turned[kLanes];
    UNROLL for (int i = 0; i < kLanes / 2; ++i) {
      turned[i] = evens(v[2 * i], v[2 * i + 1]);
      turned[i + kLanes / 2] = odds(v[2 * i], v[2 * i + 1]);
    }
    UNROLL for (int i = 0; i < kLanes; ++i) v[i] = turned[i];
  }
}

template <int N>
INLINE Vec polynomial(const float (&coefficients)[N], Vec x) {
  Vec sum = spread(coefficients[N - 1]);
  UNROLL for (int i = N - 2; i >= 0; --i) sum = sum * x + coefficients[i];
  return sum;
}

// 2**x for x <= 0 from a polynomial that is 2**x in [-1/2, 1/2]; 2**-126 below.
template <int N>
INLINE Vec power(const float (&curve)[N], Vec x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2**23: adding it leaves an integer in the low bits
  x = larger(spread(-126.0f), x);
  Vec whole = x + kRound;
  return (Vec)((Ints)polynomial(curve, x - (whole - kRound)) + ((Ints)whole << 23));
}

// A curve over a = |x|: a polynomial in 2 a / end - 1; what lies beyond `end` counts as there.
template <int N>
INLINE Vec at(const float (&curve)[N], float end, Vec a) {
  return polynomial(curve, smaller(spread(end), a) * (2 / end) - 1.0f);
}

#ifdef __AVX512F__
// The same from parabolas over 16 stretches up to `end`, the outer two half as long: three look-ups
// in registers cost less than a long polynomial.
INLINE Vec at(const float (&curve)[3][kLanes], float end, Vec a) {
  constexpr float kRound = 8388608.0f;  // 2**23: adding it leaves an integer in the low bits
  a = smaller(spread(end), a);
  auto stretch = (__m512i)(a * (15 / end) + kRound);
  auto coefficient = [&](int power) ALWAYS {
    return (Vec)_mm512_permutexvar_ps(stretch, load(curve[power]));
  };
  return (coefficient(2) * a + coefficient(1)) * a + coefficient(0);
}
#endif

INLINE Vec absolute(Vec x) { return (Vec)((Ints)x & 0x7fffffff); }

// The upper half of each lane, bits 16 to 31, is x as bfloat16, rounded to nearest even.
INLINE Ints rounded(Vec x) {
  Ints bits = (Ints)x;
  return x == x ? bits + 0x7fff + ((bits >> 16) & 1) : bits;
}

INLINE Vec load(const uint16_t* from) {
  Shorts v;
  std::memcpy(&v, from, sizeof v);
  return (Vec)(__builtin_convertvector(v, Ints) << 16);
}
INLINE void store(uint16_t* to, Vec v) {
#ifdef __AVX512BF16__
  auto shorts = _mm512_cvtneps_pbh(v);
#else
  auto shorts = __builtin_convertvector(rounded(v) >> 16, Shorts);
#endif
  std::memcpy(to, &shorts, 2 * kLanes);
}

// ---- number types of products; sums are float32 in either ---------------------------------------

struct Float32 {
  static constexpr int kDepth = 1;  // numbers in a unit
  static INLINE Vec multiply_add(Vec sum, Vec a, Vec b) { return a * b + sum; }
  static INLINE void put(float* row, int64_t column, Vec v) { store(row + column, v); }
  static INLINE Vec get(const float* row, int64_t column) { return load(row + column); }
  static INLINE Vec exp2(Vec x) {  // to 1e-7 of its value
    constexpr float kCurve[] = {1.00000007f,   0.693146969f,   0.240221199f,
                                0.0555071199f, 0.00967555838f, 0.00132768023f};
    return power(kCurve, x);
  }
  // x * Phi(x) = max(x, 0) - a * Phi(-a) with a = |x|. Phi(-a) up to 5.25 is a curve; beyond it
  // a * Phi(-a) no longer counts.
  static INLINE Vec gelu(Vec x) {  // to 1e-6
    constexpr float kCurve[] = {0.00433259225f,  -0.0334021673f, 0.115059413f,   -0.225895658f,
                                0.25742054f,     -0.121653758f,  -0.0998106822f, 0.20062241f,
                                -0.0887735412f,  -0.0746572837f, 0.0873272792f,  0.000683005201f,
                                -0.0286162887f, 0.00430457387f, 0.00305972435f};
    const Vec a = smaller(spread(5.25f), absolute(x));
    return larger(Vec{}, x) - a * at(kCurve, 5.25f, a);
  }
  // The derivative of GELU: that of a * Phi(-a), or for positive x one minus that.
  static INLINE Vec gelu_slope(Vec x) {  // to 1e-6
    constexpr float kCurve[] = {-0.0220277496f, 0.139098182f,  -0.336830348f, 0.260390341f,
                                0.475530505f,   -1.37212157f,  1.15216231f,   0.446859598f,
                                -1.70749962f,   0.972609937f,  0.751557112f,  -1.09657621f,
                                0.0495250151f,  0.486047447f,  -0.152261093f, -0.0863082483f,
                                0.0398436189f};
    const Vec slope = at(kCurve, 5.5f, absolute(x));
    return x > 0 ? 1.0f - slope : slope;
  }
};

#ifdef __AVX512BF16__
struct BFloat16 {
  static constexpr int kDepth = 2;
  static INLINE Vec multiply_add(Vec sum, Vec a, Vec b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
  }
  static INLINE void put(float* row, int64_t column, Vec v) {
    store(reinterpret_cast<uint16_t*>(row) + column, v);
  }
  static INLINE Vec get(const float* row, int64_t column) {
    return load(reinterpret_cast<const uint16_t*>(row) + column);
  }
  static INLINE Vec exp2(Vec x) {  // to 1e-4 of its value
    constexpr float kCurve[] = {0.999928027f, 0.69326097f, 0.242611372f, 0.0551717746f};
    return power(kCurve, x);
  }
  static INLINE Vec gelu(Vec x) {  // to 2e-4
    alignas(64) static constexpr float kCurve[3][kLanes] = {
        {1.41184663e-06f, 0.000819795185f, 0.0133771082f, 0.0579371642f, 0.143932736f,
         0.25631533f, 0.360619473f, 0.422004987f, 0.423467698f, 0.371608626f, 0.289032277f,
         0.201162507f, 0.126159609f, 0.071684117f, 0.0370897761f, 0.0207490675f},
        {0.499850254f, 0.490456961f, 0.429771705f, 0.297040221f, 0.112582029f, -0.0756564714f,
         -0.219067022f, -0.290903968f, -0.293006947f, -0.247520063f, -0.182344907f,
         -0.119474526f, -0.0704277157f, -0.0376343512f, -0.0183427959f, -0.00981789103f},
        {-0.396793547f, -0.370068834f, -0.296169001f, -0.197007751f, -0.0979274341f,
         -0.0190249879f, 0.0303005288f, 0.0513240828f, 0.0520104408f, 0.0420336602f,
         0.02917055f, 0.0179226201f, 0.00990309121f, 0.00496720982f, 0.00227744757f,
         0.00116557808f}};
    return larger(Vec{}, x) - at(kCurve, 4.0f, absolute(x));  // the curve is a * Phi(-a) itself
  }
  static INLINE Vec gelu_slope(Vec x) {  // to 1e-3
    alignas(64) static constexpr float kCurve[3][kLanes] = {
        {0.50001955f, 0.503685057f, 0.52506417f, 0.543259263f, 0.502204299f, 0.355180323f,
         0.10916169f, -0.170766845f, -0.39898631f, -0.516896665f, -0.516808569f, -0.432995588f,
         -0.314760149f, -0.2022672f, -0.116228968f, -0.0709541067f},
        {-0.800524294f, -0.846513987f, -0.955630779f, -1.01386011f, -0.929037631f, -0.68560791f,
         -0.350100368f, -0.0260188691f, 0.203583583f, 0.308743834f, 0.309321374f, 0.249681771f,
         0.172544986f, 0.104925677f, 0.0570014231f, 0.0333893113f},
        {0.0529271252f, 0.200381473f, 0.340837955f, 0.387398899f, 0.343575627f, 0.242716074f,
         0.128251478f, 0.0344069749f, -0.0233608317f, -0.0468123183f, -0.0470542274f,
         -0.0364428796f, -0.0238599274f, -0.0136971474f, -0.00702284044f, -0.00394419208f}};
    const Vec slope = at(kCurve, 4.0f, absolute(x));
    return x > 0 ? 1.0f - slope : slope;
  }
};
#endif

// What multiplies where maps are bfloat16: pairs, if the instruction set has them.
#ifdef __AVX512BF16__
typedef BFloat16 Short;
#else
typedef Float32 Short;
#endif

// ---- products -----------------------------------------------------------------------------------

// R tokens times P panels; `stride` from panel to panel. done(row, column, sums) takes results.
template <class Math, int R, int P, class Done>
INLINE void multiply_tile(const float* a, int64_t lda, const float* b, int64_t stride,
                          int64_t units, Done done) {
  constexpr int kVecs = kPanel / kLanes, kWide = P * kVecs;
  Vec sum[R][kWide] = {};
  for (int64_t u = 0; u < units; ++u) {
    Vec right[kWide];
    UNROLL for (int j = 0; j < kWide; ++j)
      right[j] = load(b + j / kVecs * stride + u * kPanel + j % kVecs * kLanes);
    UNROLL for (int i = 0; i < R; ++i) {
      Vec left = spread(a[i * lda + u]);
      UNROLL for (int j = 0; j < kWide; ++j)
        sum[i][j] = Math::multiply_add(sum[i][j], left, right[j]);
    }
  }
  UNROLL for (int i = 0; i < R; ++i)
    UNROLL for (int j = 0; j < kWide; ++j) done(i, j * kLanes, sum[i][j]);
}

// The 64 tokens [64, units] times panels; a panel stays in L1 while all tokens meet it. A panel
// that is left over meets more tokens at a time: fewer sums would wait for one another.
template <class Math, class Done>
INLINE void multiply(const float* a, int64_t lda, const float* b, int64_t stride, int64_t units,
                     int64_t columns, Done done) {
  constexpr int kMoreRows = kRows * kPanels;
  int64_t column = 0;
  for (; column + kPanels * kPanel <= columns; column += kPanels * kPanel)
    for (int row = 0; row < kTokens; row += kRows)
      multiply_tile<Math, kRows, kPanels>(
          a + row * lda, lda, b + column / kPanel * stride, stride, units,
          [&](int i, int j, Vec v) ALWAYS { done(row + i, column + j, v); });
  for (; column < columns; column += kPanel)
    for (int row = 0; row < kTokens; row += kMoreRows)
      multiply_tile<Math, kMoreRows, 1>(
          a + row * lda, lda, b + column / kPanel * stride, stride, units,
          [&](int i, int j, Vec v) ALWAYS { done(row + i, column + j, v); });
}

// (x - mean) / sqrt(variance + eps) over the channels of each token.
template <class Math>
void normalise(const float* x, int64_t channels, float eps, float* out, int64_t ldo) {
  for (int row = 0; row < kTokens; row += kLanes, x += kLanes * channels, out += kLanes * ldo) {
    Vec part[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      part[i] = Vec{};
      for (int64_t c = 0; c < channels; c += kLanes) part[i] += load(x + i * channels + c);
    }
    Vec mean = sums(part) / static_cast<float>(channels);
    for (int i = 0; i < kLanes; ++i) {
      part[i] = Vec{};
      for (int64_t c = 0; c < channels; c += kLanes) {
        Vec off = load(x + i * channels + c) - mean[i];
        part[i] += off * off;
      }
    }
    Vec factor = 1.0f / root(sums(part) / static_cast<float>(channels) + eps);
    for (int i = 0; i < kLanes; ++i) {
      for (int64_t c = 0; c < channels; c += kLanes)
        Math::put(out + i * ldo, c, (load(x + i * channels + c) - mean[i]) * factor[i]);
    }
  }
}

// ---- memory and threads -------------------------------------------------------------------------

// Matrices of 64 rows, one behind the other. Rows of operands had better be a cache line longer than
// they need be: powers of two would put eight rows into the same places of the cache.
class Memory {
 public:
  struct Part {
    float** matrix;
    int64_t columns;
  };
  explicit Memory(std::initializer_list<Part> parts) {
    int64_t total = 0;
    for (auto& part : parts) total += part.columns * kTokens;
    all_ = static_cast<float*>(::operator new(total * sizeof(float), std::align_val_t(64)));
    float* next = all_;
    for (auto& part : parts) *part.matrix = next, next += part.columns * kTokens;
  }
  ~Memory() { ::operator delete(all_, std::align_val_t(64)); }
  Memory(const Memory&) = delete;

 private:
  float* all_;
};

// Do take(next), where next++ is the number of a piece not yet taken, on some threads.
template <class Take>
void share(int64_t threads, int64_t pieces, Take take) {
  std::atomic<int64_t> next{0};
  auto task = [&] { take(next); };
  std::vector<std::thread> others;
  for (int64_t i = 1; i < std::min(threads, pieces); ++i) others.emplace_back(task);
  task();
  for (auto& thread : others) thread.join();
}

}  // namespace
