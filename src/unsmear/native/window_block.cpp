// A window block of LMD-ViT on kept windows of 8 x 8 tokens, fused: all between reading a window's
// tokens and writing them back stays in the core's own caches. `FoldedBlock` has the formula.

#include "attention.h"
#include "window_filter.h"

extern "C" {

// A packed block; `PackedBlock` in window_block.py fills it. Biases, taps and logit_bias are float32.
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

constexpr int kChunk = 128;  // hidden channels that exist at a time

// What a thread keeps of one window.
struct Scratch {
  int64_t wide;    // from row to row of normed and attended
  int64_t narrow;  // from row to row of q and k
  float *x, *normed, *attended, *q, *k, *v, *keys, *values, *logits, *weights, *hidden, *mixed;
  Memory memory;

  static constexpr int64_t kMixed = kChunk + kPanel;

  explicit Scratch(const Block& b) : Scratch(b.channels, b.channels / b.heads) {}

 private:
  Scratch(int64_t channels, int64_t head)
      : wide(channels + kPanel),
        narrow(head + kPanel),
        memory({{&x, channels}, {&normed, wide}, {&attended, wide}, {&q, narrow}, {&k, narrow},
                {&v, head}, {&keys, head}, {&values, head}, {&logits, kTokens},
                {&weights, kWeights}, {&hidden, kChunk}, {&mixed, kMixed}}) {}
};

template <class Math>
void attend(const Block& b, int64_t head, const float* logit_bias, Scratch& s) {
  const int64_t size = b.channels / b.heads, units = b.channels / Math::kDepth;
  const int64_t bias_step = b.places == 1 ? 0 : 3 * b.channels;
  const int64_t first = 3 * head * size;
  multiply<Math>(s.normed, s.wide, b.qkv_weight + first * units, units * kPanel, units, 3 * size,
                 [&](int row, int64_t c, Vec v) ALWAYS {
                   v += load(b.qkv_bias + row * bias_step + first + c);
                   if (c < size)
                     Math::put(s.q + row * s.narrow, c, v);
                   else if (c < 2 * size)
                     Math::put(s.k + row * s.narrow, c - size, v);
                   else
                     store(s.v + row * size + c - 2 * size, v);
                 });
  transpose_keys(s.k, s.narrow, size / Math::kDepth, s.keys);
  pack_values<Math>(s.v, size, s.values);
  multiply<Math>(s.q, s.narrow, s.keys, size / Math::kDepth * kPanel, size / Math::kDepth, kTokens,
                 [&](int row, int64_t c, Vec v) ALWAYS {
                   const int64_t place = row * kTokens + c;
                   store(s.logits + place, v * kLog2E + load(logit_bias + place));
                 });
  alignas(64) float inverse[kTokens];
  soften<Math>(s.logits, s.weights, inverse);
  multiply<Math>(s.weights, kWeights, s.values, kTokens / Math::kDepth * kPanel,
                 kTokens / Math::kDepth, size, [&](int row, int64_t c, Vec v) ALWAYS {
                   Math::put(s.attended + row * s.wide, head * size + c, v * inverse[row]);
                 });
}

// Depthwise 3x3 on [64 tokens, kChunk], and GELU.
template <class Math>
void mix(const float* hidden, const float* taps, const float* bias, int64_t taps_step,
         int64_t channels, float* out) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vec tap[9];
    UNROLL for (int i = 0; i < 9; ++i) tap[i] = load(taps + i * taps_step + c);
    filter_window(hidden + c, kChunk, tap, load(bias + c), [&](int token, Vec v) ALWAYS {
      Math::put(out + token * Scratch::kMixed, c, Math::gelu(v));
    });
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
  share(job.threads, job.count, [&](auto& next) { work<Math>(b, job, x, next); });
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
  run<Short>(*block, *job, x);
}
}
