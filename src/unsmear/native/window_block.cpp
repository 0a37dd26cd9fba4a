// A window block of LMD-ViT on kept windows of 8 x 8 tokens, fused: all between reading a window's
// tokens and writing them back stays in the core's own caches. `FoldedBlock` has the formula.
//
// The file is compiled once for each instruction set (see setup.py); everything below adapts to the
// vector width of that set, and `supported` says whether this machine has it.
//
// Matrices are made of units of 32 bits: one float32, or two neighbouring bfloat16. Weights come in
// panels of 16 columns, [columns / 16, units, 16], so that a step of the innermost loop reads
// consecutive memory: it multiplies one unit of some tokens with one unit of some columns.

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#define ALWAYS __attribute__((always_inline))
#define INLINE inline ALWAYS
#define UNROLL _Pragma("GCC unroll 16")

extern "C" {

// A packed block; `PackedBlock` in __init__.py fills it. Biases, taps and logit_bias are float32.
struct Block {
  int64_t channels, heads, hidden;
  int64_t places;  // rows of qkv_bias: 64, or 1 where places in the window do not matter
  int64_t kinds;   // tables in logit_bias: 4, or 1 without a shift
  float eps;
  const float *qkv_weight, *qkv_bias;  // columns: q, k and v of the first head, then the next head
  const float* logit_bias;             // [kinds, heads, 64, 64], times log2(e)
  const float *proj_weight, *proj_bias, *expand_weight, *expand_bias;
  const float *taps, *taps_bias;  // [9, hidden], [hidden]
  const float *reduce_weight, *reduce_bias;
};

// The map [B, height, width, channels] and the windows in it to compute, by number.
struct Job {
  int64_t height, width, shift;
  const int64_t* numbers;
  int64_t count;
  int32_t feed;  // whether the feed-forward half follows the attention
  int32_t threads;
};
}

namespace {

constexpr int kSide = 8, kTokens = 64;
constexpr int kPanel = 16;
constexpr int kChunk = 128;  // hidden channels that exist at a time
constexpr float kLog2E = 1.44269504f;

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
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#else
INLINE Vec spread(float x) { return (Vec)_mm256_set1_ps(x); }
INLINE Vec larger(Vec a, Vec b) { return (Vec)_mm256_max_ps(a, b); }
INLINE Vec smaller(Vec a, Vec b) { return (Vec)_mm256_min_ps(a, b); }
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

// 2**x for x <= 0, to 1e-7 of its value; 2**-126 below.
INLINE Vec exp2(Vec x) {
  constexpr float kCurve[] = {1.00000007f,  0.693146967f,  0.240221197f,
                              0.0555071329f, 0.00967554168f, 0.00132764672f};
  constexpr float kRound = 12582912.0f;  // 1.5 * 2**23: adding it leaves an integer in the low bits
  x = larger(spread(-126.0f), x);
  Vec whole = x + kRound;
  return (Vec)((Ints)polynomial(kCurve, x - (whole - kRound)) + ((Ints)whole << 23));
}

// x * Phi(x) = max(x, 0) - a * Phi(-a) with a = |x|; Phi(-a) up to `end` by a polynomial in
// 2 a / end - 1, beyond it a * Phi(-a) no longer counts.
template <int N>
INLINE Vec gelu(const float (&curve)[N], float end, Vec x) {
  Vec a = smaller(spread(end), (Vec)((Ints)x & 0x7fffffff));
  return larger(Vec{}, x) - a * polynomial(curve, a * (2 / end) - 1.0f);
}

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
  static INLINE Vec gelu(Vec x) {  // to 1e-6
    constexpr float kCurve[] = {0.00433259225f,  -0.0334021673f, 0.115059413f,   -0.225895658f,
                                0.25742054f,     -0.121653758f,  -0.0998106822f, 0.20062241f,
                                -0.0887735412f,  -0.0746572837f, 0.0873272792f,  0.000683005201f,
                                -0.0286162887f, 0.00430457387f, 0.00305972435f};
    return ::gelu(kCurve, 5.25f, x);
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
  static INLINE Vec gelu(Vec x) {  // to 2e-4
    constexpr float kCurve[] = {0.0227288548f, -0.10793557f,  0.217005789f,
                                -0.217411712f, 0.0644370317f, 0.0812932253f,
                                -0.0687377974f, -0.00581768667f, 0.014480236f};
    return ::gelu(kCurve, 4.0f, x);
  }
};
#endif

// ---- products -----------------------------------------------------------------------------------

// kRows tokens times P panels; `stride` from panel to panel. done(row, column, sums) takes results.
template <class Math, int P, class Done>
INLINE void multiply_tile(const float* a, int64_t lda, const float* b, int64_t stride,
                          int64_t units, Done done) {
  constexpr int kVecs = kPanel / kLanes, kWide = P * kVecs;
  Vec sum[kRows][kWide] = {};
  for (int64_t u = 0; u < units; ++u) {
    Vec right[kWide];
    UNROLL for (int j = 0; j < kWide; ++j)
      right[j] = load(b + j / kVecs * stride + u * kPanel + j % kVecs * kLanes);
    UNROLL for (int i = 0; i < kRows; ++i) {
      Vec left = spread(a[i * lda + u]);
      UNROLL for (int j = 0; j < kWide; ++j)
        sum[i][j] = Math::multiply_add(sum[i][j], left, right[j]);
    }
  }
  UNROLL for (int i = 0; i < kRows; ++i)
    UNROLL for (int j = 0; j < kWide; ++j) done(i, j * kLanes, sum[i][j]);
}

// The 64 tokens [64, units] times panels; a panel stays in L1 while all tokens meet it.
template <class Math, class Done>
INLINE void multiply(const float* a, int64_t lda, const float* b, int64_t stride, int64_t units,
                     int64_t columns, Done done) {
  int64_t column = 0;
  for (; column + kPanels * kPanel <= columns; column += kPanels * kPanel)
    for (int row = 0; row < kTokens; row += kRows)
      multiply_tile<Math, kPanels>(
          a + row * lda, lda, b + column / kPanel * stride, stride, units,
          [&](int i, int j, Vec v) ALWAYS { done(row + i, column + j, v); });
  for (; column < columns; column += kPanel)
    for (int row = 0; row < kTokens; row += kRows)
      multiply_tile<Math, 1>(
          a + row * lda, lda, b + column / kPanel * stride, stride, units,
          [&](int i, int j, Vec v) ALWAYS { done(row + i, column + j, v); });
}

// ---- the block ----------------------------------------------------------------------------------

// What a thread keeps of one window. Rows of operands are a cache line longer than they need be:
// powers of two would put eight rows into the same places of the cache.
struct Scratch {
  int64_t wide;    // from row to row of normed and attended
  int64_t narrow;  // from row to row of q and k
  float *x, *normed, *attended, *q, *k, *v, *keys, *values, *logits, *weights, *hidden, *mixed;
  float* memory;

  static constexpr int64_t kMixed = kChunk + kPanel, kWeights = kTokens + kPanel;

  explicit Scratch(const Block& b) {
    int64_t head = b.channels / b.heads;
    wide = b.channels + kPanel;
    narrow = head + kPanel;
    struct {
      float** matrix;
      int64_t columns;
    } all[] = {{&x, b.channels},   {&normed, wide},      {&attended, wide}, {&q, narrow},
               {&k, narrow},       {&v, head},           {&keys, head},     {&values, head},
               {&logits, kTokens}, {&weights, kWeights}, {&hidden, kChunk}, {&mixed, kMixed}};
    int64_t total = 0;
    for (auto& part : all) total += part.columns * kTokens;
    memory = static_cast<float*>(::operator new(total * sizeof(float), std::align_val_t(64)));
    float* next = memory;
    for (auto& part : all) *part.matrix = next, next += part.columns * kTokens;
  }
  ~Scratch() { ::operator delete(memory, std::align_val_t(64)); }
  Scratch(const Scratch&) = delete;
};

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
    Vec variance = sums(part) / static_cast<float>(channels) + eps;
    for (int i = 0; i < kLanes; ++i) {
      float factor = 1.0f / std::sqrt(variance[i]);
      for (int64_t c = 0; c < channels; c += kLanes)
        Math::put(out + i * ldo, c, (load(x + i * channels + c) - mean[i]) * factor);
    }
  }
}

// Turn k [64 tokens, units] into panels of 16 tokens, [64 / 16, units, 16].
void transpose_keys(const float* k, int64_t ldk, int64_t units, float* panels) {
  for (int token = 0; token < kTokens; token += kLanes)
    for (int64_t u = 0; u < units; u += kLanes) {
      Vec block[kLanes];
      UNROLL for (int i = 0; i < kLanes; ++i) block[i] = load(k + (token + i) * ldk + u);
      transpose(block);
      float* to = panels + (token / kPanel * units + u) * kPanel + token % kPanel;
      for (int j = 0; j < std::min<int64_t>(kLanes, units - u); ++j)
        store(to + j * kPanel, block[j]);
    }
}

// Put v [64 tokens, columns] into panels whose units run over tokens, [columns / 16, units, 16].
template <class Math>
void pack_values(const float* v, int64_t columns, float* panels) {
  constexpr int kUnits = kTokens / Math::kDepth;
  for (int u = 0; u < kUnits; ++u)
    for (int64_t c = 0; c < columns; c += kLanes) {
      const float* from = v + u * Math::kDepth * columns + c;
      Vec unit = load(from);
      if constexpr (Math::kDepth == 2)
        unit = (Vec)(((rounded(unit) >> 16) & 0xffff) | (rounded(load(from + columns)) & ~0xffff));
      store(panels + (c / kPanel * kUnits + u) * kPanel + c % kPanel, unit);
    }
}

// Softmax over the rows of logits [64, 64], but for the division: `inverse` is one over each sum.
template <class Math>
void soften(const float* logits, float* weights, float (&inverse)[kTokens]) {
  for (int row = 0; row < kTokens; row += kLanes) {
    Vec part[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const float* from = logits + (row + i) * kTokens;
      part[i] = load(from);
      for (int t = kLanes; t < kTokens; t += kLanes) part[i] = larger(part[i], load(from + t));
    }
    Vec top = maxima(part);
    for (int i = 0; i < kLanes; ++i) {
      const float* from = logits + (row + i) * kTokens;
      part[i] = Vec{};
      UNROLL for (int t = 0; t < kTokens; t += kLanes) {
        Vec power = exp2(load(from + t) - top[i]);
        part[i] += power;
        Math::put(weights + (row + i) * Scratch::kWeights, t, power);
      }
    }
    store(inverse + row, 1.0f / sums(part));
  }
}

template <class Math>
void attend(const Block& b, int64_t head, const float* logit_bias, Scratch& s) {
  const int64_t size = b.channels / b.heads, units = b.channels / Math::kDepth;
  const int64_t bias_step = b.places == 1 ? 0 : 3 * b.channels;
  auto project = [&](int part, auto done) {  // 0 for q, 1 for k, 2 for v
    const int64_t first = (3 * head + part) * size;
    multiply<Math>(s.normed, s.wide, b.qkv_weight + first * units, units * kPanel, units, size,
                   [&](int row, int64_t c, Vec v) ALWAYS {
                     done(row, c, v + load(b.qkv_bias + row * bias_step + first + c));
                   });
  };
  project(0, [&](int row, int64_t c, Vec v) ALWAYS { Math::put(s.q + row * s.narrow, c, v); });
  project(1, [&](int row, int64_t c, Vec v) ALWAYS { Math::put(s.k + row * s.narrow, c, v); });
  project(2, [&](int row, int64_t c, Vec v) ALWAYS { store(s.v + row * size + c, v); });
  transpose_keys(s.k, s.narrow, size / Math::kDepth, s.keys);
  pack_values<Math>(s.v, size, s.values);
  multiply<Math>(s.q, s.narrow, s.keys, size / Math::kDepth * kPanel, size / Math::kDepth, kTokens,
                 [&](int row, int64_t c, Vec v) ALWAYS {
                   const int64_t place = row * kTokens + c;
                   store(s.logits + place, v * kLog2E + load(logit_bias + place));
                 });
  alignas(64) float inverse[kTokens];
  soften<Math>(s.logits, s.weights, inverse);
  multiply<Math>(s.weights, Scratch::kWeights, s.values, kTokens / Math::kDepth * kPanel,
                 kTokens / Math::kDepth, size, [&](int row, int64_t c, Vec v) ALWAYS {
                   Math::put(s.attended + row * s.wide, head * size + c, v * inverse[row]);
                 });
}

// Depthwise 3x3 on [8, 8, kChunk], reflected at the window's border, and GELU.
template <class Math>
void mix(const float* hidden, const float* taps, const float* bias, int64_t taps_step,
         int64_t channels, float* out) {
  constexpr int kNear[kSide + 2] = {1, 0, 1, 2, 3, 4, 5, 6, 7, 6};  // place - 1 to place + 1
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vec tap[9];
    UNROLL for (int i = 0; i < 9; ++i) tap[i] = load(taps + i * taps_step + c);
    const Vec start = load(bias + c);
    for (int y = 0; y < kSide; ++y)
      UNROLL for (int x = 0; x < kSide; ++x) {
        Vec sum = start;
        UNROLL for (int i = 0; i < 9; ++i)
          sum += tap[i] * load(hidden + (kNear[y + i / 3] * kSide + kNear[x + i % 3]) * kChunk + c);
        Math::put(out + (y * kSide + x) * Scratch::kMixed, c, Math::gelu(sum));
      }
  }
}

template <class Math>
void transform(const Block& b, int64_t kind, bool feed, Scratch& s) {
  const int64_t channels = b.channels, units = channels / Math::kDepth;
  auto add_to_x = [&](int row, int64_t c, Vec v) ALWAYS {
    float* to = s.x + row * channels + c;
    store(to, load(to) + v);
  };
  normalise<Math>(s.x, channels, b.eps, s.normed, s.wide);
  for (int64_t head = 0; head < b.heads; ++head)
    attend<Math>(b, head, b.logit_bias + (kind * b.heads + head) * kTokens * kTokens, s);
  multiply<Math>(s.attended, s.wide, b.proj_weight, units * kPanel, units, channels,
                 [&](int row, int64_t c, Vec v) ALWAYS {
                   add_to_x(row, c, v + load(b.proj_bias + c));
                 });
  if (!feed) return;
  normalise<Math>(s.x, channels, b.eps, s.normed, s.wide);
  for (int64_t h = 0; h < b.hidden; h += kChunk) {
    const int64_t count = std::min<int64_t>(kChunk, b.hidden - h);
    multiply<Math>(s.normed, s.wide, b.expand_weight + h * units, units * kPanel, units, count,
                   [&](int row, int64_t c, Vec v) ALWAYS {
                     const Vec biased = v + load(b.expand_bias + h + c);
                     store(s.hidden + row * kChunk + c, Math::gelu(biased));
                   });
    mix<Math>(s.hidden, b.taps + h, b.taps_bias + h, b.hidden, count, s.mixed);
    multiply<Math>(s.mixed, Scratch::kMixed, b.reduce_weight + h / Math::kDepth * kPanel,
                   b.hidden / Math::kDepth * kPanel, count / Math::kDepth, channels,
                   [&](int row, int64_t c, Vec v) ALWAYS {
                     add_to_x(row, c, h == 0 ? v + load(b.reduce_bias + c) : v);
                   });
  }
}

// Take windows, one at a time, until none is left.
template <class Math, class Number>
void work(const Block& b, const Job& job, Number* x, std::atomic<int64_t>& next) {
  Scratch s(b);
  const int64_t rows = job.height / kSide, columns = job.width / kSide, channels = b.channels;
  for (int64_t taken; (taken = next++) < job.count;) {
    const int64_t image = job.numbers[taken] / (rows * columns);
    const int64_t inside = job.numbers[taken] % (rows * columns);
    const int64_t row = inside / columns, column = inside % columns;
    Number* token[kTokens];
    for (int i = 0; i < kTokens; ++i) {
      const int64_t down = (row * kSide + job.shift + i / kSide) % job.height;
      const int64_t right = (column * kSide + job.shift + i % kSide) % job.width;
      token[i] = x + ((image * job.height + down) * job.width + right) * channels;
      for (int64_t c = 0; c < channels; c += kLanes)
        store(s.x + i * channels + c, load(token[i] + c));
    }
    const int64_t kind = 2 * (row == rows - 1) + (column == columns - 1);
    transform<Math>(b, b.kinds == 1 ? 0 : kind, job.feed, s);
    for (int i = 0; i < kTokens; ++i)
      for (int64_t c = 0; c < channels; c += kLanes)
        store(token[i] + c, load(s.x + i * channels + c));
  }
}

template <class Math, class Number>
void run(const Block& b, const Job& job, Number* x) {
  std::atomic<int64_t> next{0};
  auto task = [&] { work<Math>(b, job, x, next); };
  std::vector<std::thread> others;
  for (int64_t i = 1; i < std::min<int64_t>(job.threads, job.count); ++i) others.emplace_back(task);
  task();
  for (auto& thread : others) thread.join();
}

}  // namespace

extern "C" {

// Whether this machine has the instructions that the file was compiled to.
int supported() {
#ifdef __AVX512BF16__
  if (!__builtin_cpu_supports("avx512bf16")) return 0;
#endif
#ifdef __AVX512F__
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
}

// Compute in place. Results do not depend on the number of threads.
void run_float32(const Block* block, const Job* job, float* x) { run<Float32>(*block, *job, x); }

// The same on bfloat16. Weights are in pairs where the instruction set multiplies pairs.
void run_bfloat16(const Block* block, const Job* job, uint16_t* x) {
#ifdef __AVX512BF16__
  run<BFloat16>(*block, *job, x);
#else
  run<Float32>(*block, *job, x);
#endif
}
}
