// SPDX-License-Identifier: Apache-2.0
// Runs the decoder with loops and with Metallic side by side, and compares the logits of each step. Exits with 1 where they
// differ by more than rounding explains.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>

#include "decoder.h"

namespace {

constexpr int64_t kPrompt = 12, kSteps = 8;

// How far apart two right computations may be, before any is made. Each of some ten operations of a layer adds a relative
// error: that of a sum of f32 products in another order, √in roundings of 2⁻²⁴, and in bf16 that of one rounding of its
// operands, 2⁻⁸, since the smallest difference may tip it. Norms keep relative errors as they are, and errors are taken to add
// up, although most cancel.
double bound(const Model& model, const std::vector<float>& logits) {
  double squares = 0;
  for (const float x : logits) squares += double{x} * x;
  const double rms = std::sqrt(squares / static_cast<double>(logits.size()));
  const Config& c = model.config;
  const double sum = std::sqrt(static_cast<double>(std::max(c.hidden, c.intermediate))) * 0x1p-24;
  const double stored = model.storage == Storage::bf16 ? 0x1p-8 : 0;
  return rms * static_cast<double>(10 * c.layers + 1) * (sum + stored);
}

// The likeliest token after the last one of each sequence.
std::vector<int64_t> greedy(const std::vector<float>& logits, int64_t batch, int64_t vocabulary) {
  std::vector<int64_t> tokens;
  const auto sequence = static_cast<int64_t>(logits.size()) / batch;
  for (int64_t b = 1; b <= batch; ++b) {
    const auto last = logits.begin() + b * sequence - vocabulary;
    tokens.push_back(std::max_element(last, last + vocabulary) - last);
  }
  return tokens;
}

// Whether all steps stay within the bound.
bool compare(const Config& config, Storage storage, int64_t batch) {
  const Model model = make_model(config, storage, 7);
  Decoder plain(model, plain_operations(), batch, kPrompt + kSteps);
  Decoder planned(model, planned_operations(), batch, kPrompt + kSteps);
  std::printf("%s weights, %s lm_head, batch %d\n  %-18s %12s %12s  same greedy tokens\n",
              storage == Storage::f32 ? "f32" : "bf16", config.tied ? "tied" : "untied", static_cast<int>(batch), "step",
              "difference", "bound");

  std::vector<int64_t> tokens(static_cast<size_t>(batch * kPrompt));
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int64_t>(i * 37 + 11) % config.vocabulary;
  bool right = true;
  int64_t same = 0;
  for (int64_t step = 0; step <= kSteps; ++step) {
    const std::vector<float> expected = plain.forward(tokens), logits = planned.forward(tokens);
    double difference = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      const double apart = std::fabs(double{logits[i]} - expected[i]);
      difference = std::isnan(apart) ? INFINITY : std::max(difference, apart);
    }
    const double allowed = bound(model, expected);
    const bool within = difference <= allowed;
    // Both go on with the same tokens, so that a tie that rounding decides does not part them.
    tokens = greedy(expected, batch, config.vocabulary);
    const std::vector<int64_t> chosen = greedy(logits, batch, config.vocabulary);
    int64_t agree = 0;
    for (size_t i = 0; i < tokens.size(); ++i) agree += tokens[i] == chosen[i];
    std::printf("  %-7s %10d %12.2e %12.2e  %d of %d%s\n", step == 0 ? "prefill" : "decode",
                static_cast<int>(step == 0 ? kPrompt : kPrompt + step), difference, allowed, static_cast<int>(agree),
                static_cast<int>(batch), within ? "" : "  TOO FAR");
    right = right && within;
    same += agree;
  }
  std::printf("  greedy tokens agree in %d of %d\n\n", static_cast<int>(same), static_cast<int>(batch * (kSteps + 1)));
  return right;
}

}  // namespace

int main() {
  try {
    Config untied, tied;
    tied.tied = true;
    bool right = true;
    for (const int64_t batch : {1, 4}) {
      right = compare(untied, Storage::f32, batch) && right;
      right = compare(tied, Storage::bf16, batch) && right;
    }
    return right ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "decoder: %s\n", error.what());
    return 1;
  }
}
